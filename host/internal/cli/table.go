package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// printTable prints rows in aligned columns; the first row may be a heading. Names in it are anybody's: what is no
// printable text is escaped, so that they neither drive the terminal nor break the columns.
func printTable(to io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i] = escape(row[i])
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cells(row[i]))
		}
	}
	var table strings.Builder
	for _, row := range rows {
		for i, text := range row {
			table.WriteString(text)
			if i < len(row)-1 {
				table.WriteString(strings.Repeat(" ", widths[i]-cells(text)+2))
			}
		}
		table.WriteByte('\n')
	}
	_, err := io.WriteString(to, table.String())
	return err
}

// withLines appends a row whose last cell is a text of several lines: a row for each, of which the first has the other
// cells.
func withLines(rows [][]string, row ...string) [][]string {
	last := len(row) - 1
	for i, line := range strings.Split(strings.TrimRight(row[last], "\n"), "\n") {
		next := make([]string, len(row))
		if i == 0 {
			copy(next, row)
		}
		next[last] = strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", "    ")
		rows = append(rows, next)
	}
	return rows
}

// escape writes what is no printable character as Go does in a string: \n, \x1b, \xff.
func escape(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	var escaped strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&escaped, `\x%02x`, text[0])
		case unprintable(r):
			escaped.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			escaped.WriteRune(r)
		}
		text = text[size:]
	}
	return escaped.String()
}

// escapeLines is escape for a text that may have lines and tabs.
func escapeLines(text string) string {
	var escaped strings.Builder
	for len(text) > 0 {
		end := strings.IndexAny(text, "\n\t")
		if end < 0 {
			escaped.WriteString(escape(text))
			break
		}
		escaped.WriteString(escape(text[:end]))
		escaped.WriteByte(text[end])
		text = text[end+1:]
	}
	return escaped.String()
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }

// cells is how many columns of a terminal a printable text takes.
func cells(text string) (n int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me): // drawn over the one before
		case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
