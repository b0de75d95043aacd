package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/proto/wire"
)

// longest is the longest time that an option may name: beyond what anything runs, and far from what a duration overflows at.
const longest = 10 * 365 * 24 * time.Hour

// number is the value of a flag that has a range. What is beyond it is refused when it is parsed, whether it comes from
// the command line or from a variable.
type number[T any] struct {
	to    *T
	parse func(text string) (value T, ok bool)
	text  func(T) string
	kind  string // for the help, as pflag calls it
	want  string // for the error
	noun  string // for the error as well; may be empty
}

// Set is pflag.Value's.
func (n *number[T]) Set(text string) error {
	value, ok := n.parse(text)
	if !ok {
		return errors.New(n.Want(text))
	}
	*n.to = value
	return nil
}

// String is pflag.Value's.
func (n *number[T]) String() string { return n.text(*n.to) }

// Type is pflag.Value's.
func (n *number[T]) Type() string { return n.kind }

// Want says what the flag may be, where it is this.
func (n *number[T]) Want(instead string) string {
	if n.noun != "" {
		return fmt.Sprintf("%q is no %s: want %s", instead, n.noun, n.want)
	}
	return "want " + n.want
}

// add adds the flag, with what *to has as its default.
func (n *number[T]) add(flags *pflag.FlagSet, name, short, usage string) {
	if flag := flags.VarPF(n, name, short, usage); flag.DefValue == "0s" {
		flag.DefValue = "0" // which the help leaves out
	}
}

// count is a whole number.
func count(to *int, value, least, most int) *number[int] {
	*to = value
	return &number[int]{
		to: to, kind: "int", text: strconv.Itoa, want: "a whole number, " + within(strconv.Itoa(least), strconv.Itoa(most)),
		parse: func(text string) (int, bool) {
			n, err := strconv.Atoi(text)
			return n, err == nil && n >= least && n <= most
		},
	}
}

// seed is a seed of everything random.
func seed(to *uint64) *number[uint64] {
	return &number[uint64]{
		to: to, kind: "uint", text: func(n uint64) string { return strconv.FormatUint(n, 10) },
		want: "a whole number, 0 or more and below 2^53, which every JSON reader keeps exact",
		parse: func(text string) (uint64, bool) {
			n, err := strconv.ParseUint(text, 10, 64)
			return n, err == nil && n < wire.MaxSeed
		},
	}
}

// within says what a range is.
func within(least, most string) string {
	switch least {
	case "0", "0s":
		least = "0 or more"
	case "1ns":
		least = "more than 0"
	default:
		least = "at least " + least
	}
	return least + " and at most " + most
}

// amount is a number of something: 0, which has a meaning of its own, or one within a range.
func amount(to *float64, least, most float64, of string) *number[float64] {
	return &number[float64]{
		to: to, kind: "float", text: func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) },
		want: fmt.Sprintf("0, or %s to %s %s", plain(least), plain(most), of),
		parse: func(text string) (float64, bool) {
			n, err := strconv.ParseFloat(text, 64)
			return n, err == nil && (n == 0 || n >= least && n <= most) // which NaN is not
		},
	}
}

func plain(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// span is a time.
func span(to *time.Duration, value, least, most time.Duration) *number[time.Duration] {
	*to = value
	return &number[time.Duration]{
		to: to, kind: "duration", text: time.Duration.String, want: "a duration such as 30s or 2m, " + within(least.String(), most.String()),
		parse: func(text string) (time.Duration, bool) {
			d, err := time.ParseDuration(text)
			return d, err == nil && d >= least && d <= most
		},
	}
}

// cadence is how often a checkpoint is made.
func cadence(to *run.Cadence, value run.Cadence) *number[run.Cadence] {
	*to = value
	return &number[run.Cadence]{
		to: to, kind: "cadence", noun: "cadence", text: run.Cadence.String, want: fmt.Sprintf("a number of steps such as 500, or a time such as 30s, at most %s", longest),
		parse: func(text string) (run.Cadence, bool) {
			c, err := run.ParseCadence(text)
			return c, err == nil && c.Interval <= longest
		},
	}
}

// mostMemory, in MiB, is many times what a machine has.
const mostMemory = 16 << 20

// memory is a size in mebibytes; 0 for the default of a machine.
func memory(to *int) *number[int] {
	return &number[int]{
		to: to, kind: "size", want: fmt.Sprintf("a size such as 16GiB or 512MiB, from 1MiB to %dGiB", mostMemory>>10),
		text: func(mebibytes int) string {
			if mebibytes == 0 {
				return ""
			}
			return strconv.Itoa(mebibytes) + "MiB"
		},
		parse: func(text string) (int, bool) {
			for suffix, unit := range map[string]float64{"GiB": 1024, "MiB": 1, "GB": 1e9 / (1 << 20), "MB": 1e6 / (1 << 20)} {
				digits, ok := strings.CutSuffix(text, suffix)
				if n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64); ok && err == nil {
					n *= unit
					return int(math.Min(n, mostMemory)), n >= 1 && n <= mostMemory
				}
			}
			return 0, false
		},
	}
}

// since is where to begin: a time, or so long ago.
func since(to *time.Time, now func() time.Time) *number[time.Time] {
	return &number[time.Time]{
		to: to, kind: "time", want: "a duration such as 10m, or a time such as 2026-01-02T15:04:05Z",
		text: func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.Format(time.RFC3339)
		},
		parse: func(text string) (time.Time, bool) {
			if ago, err := time.ParseDuration(text); err == nil {
				return now().Add(-ago), ago >= 0
			}
			at, err := time.Parse(time.RFC3339, text)
			return at, err == nil
		},
	}
}
