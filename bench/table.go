package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is one line of the table.
type row struct {
	what, ours, theirs string
	figure             string
	wanted             string // empty: reported only
	reached            bool
}

func table(rows []row) string {
	var text strings.Builder
	text.WriteString("| what | mtt | against | figure | wanted | |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", r.what, r.ours, r.theirs, r.figure, r.wanted, r.outcome())
	}
	return text.String()
}

func (r row) outcome() string {
	switch {
	case r.wanted == "":
		return "reported only"
	case r.reached:
		return "reached"
	default:
		return "**missed**"
	}
}

func (b *bench) add(r row) {
	b.say("  %s: %s, wanted %s: %s", r.what, r.figure, r.wanted, r.outcome())
	b.rows = append(b.rows, r)
}

// quantile is the value below which a share of the values lies, between two of them by their distance; 0.5 is the
// median. There is at least one value.
func quantile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := share * float64(len(sorted)-1)
	below := int(at)
	if below+1 == len(sorted) {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// spread is the median with the range of the middle half of the values.
func spread(values []float64, format string) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(values), quantile(values, 0.25), quantile(values, 0.75))
}

// each applies a function to the values of each pair.
func each(a, b []float64, f func(a, b float64) float64) []float64 {
	results := make([]float64, len(a))
	for i := range a {
		results[i] = f(a[i], b[i])
	}
	return results
}

func quotient(a, b float64) float64   { return a / b }
func difference(a, b float64) float64 { return a - b }
