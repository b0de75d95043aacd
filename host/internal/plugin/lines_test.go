package plugin

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOutputIsSplitIntoLines(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for name, c := range map[string]struct {
		printed []string // in one write each
		want    []string
	}{
		"lines":                     {[]string{"a\nb\n\nc\n"}, []string{"a", "b", "", "c"}},
		"a line in parts":           {[]string{"a", "b", "c\nd", "e\n"}, []string{"abc", "de"}},
		"a line without end":        {[]string{"a\nb"}, []string{"a", "b"}},
		"lines of Windows":          {[]string{"a\r\n\r\nb\r", "\nc\r\n"}, []string{"a", "", "b", "c"}},
		"a progress bar":            {[]string{"\r1%", "\r2%", "\r100%\ndone\n"}, []string{"100%", "done"}},
		"one that ends itself":      {[]string{"1%\r", "2%\r", "3%\r", "\n"}, []string{"3%"}},
		"one that has not ended":    {[]string{"1%\r", "2%\r"}, []string{"2%"}},
		"one that is cut short":     {[]string{"1%\r2"}, []string{"2"}},
		"a long line":               {[]string{long, long, "\nb\n"}, []string{strings.Repeat("x", 16<<10-40) + "… (383656 bytes more)", "b"}},
		"a long bar":                {[]string{strings.Repeat("\rdownloading", 50_000), "\rdone\n"}, []string{"done"}},
		"a long line before a bar":  {[]string{long, "\r12%\n"}, []string{"12%"}},
		"bytes that are not UTF-8":  {[]string{"caf\xe9\n"}, []string{`caf\xe9`}},
		"a character in two writes": {[]string{"\xe2\x82", "\xac\n"}, []string{"€"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			signs := 0
			o := &output{emit: func(line string) { got = append(got, line) }, sign: func() { signs++ }}
			s, other := o.stream(), o.stream()
			for _, part := range c.printed {
				if n, err := s.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			o.end()
			o.end()
			if !slices.Equal(got, c.want) {
				t.Errorf("got %.80q, want %.80q", got, c.want)
			}
			if signs != len(c.printed) {
				t.Errorf("%d signs of life of %d", signs, len(c.printed))
			}
			if cap(s.now.kept)+cap(s.replaced.kept) > 4*16<<10 || other.now.size > 0 {
				t.Error("more is kept than a line")
			}
		})
	}
}

func TestLinesOfTwoStreamsAreNotMixed(t *testing.T) {
	var got []string
	o := &output{emit: func(line string) { got = append(got, line) }}
	a, b := o.stream(), o.stream()
	for _, part := range []string{"one", " line\n"} {
		_, _ = a.Write([]byte(part))
		_, _ = b.Write([]byte(part))
	}
	if !slices.Equal(got, []string{"one line", "one line"}) {
		t.Errorf("got %q", got)
	}
}

func TestBarThatMovesForLongIsSeenToMove(t *testing.T) {
	var got []string
	o := &output{emit: func(line string) { got = append(got, line) }}
	s := o.stream()
	_, _ = s.Write([]byte("1%\r2%\r"))
	s.redrawn = time.Now().Add(-redrawnEvery) // as if it had begun so long ago
	_, _ = s.Write([]byte("3%\r4%\r"))
	if !slices.Equal(got, []string{"3%"}) {
		t.Errorf("got %q", got)
	}
}
