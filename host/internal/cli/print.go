package cli

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

func printJSON(to io.Writer, value any) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printList prints a list in the form that every list has.
func printList[T any](to io.Writer, items []T) error {
	if items == nil {
		items = []T{}
	}
	return printJSON(to, struct {
		Schema string `json:"schema"`
		Items  []T    `json:"items"`
	}{"mtt.list/v1", items})
}

func metricsText(metrics checkpoint.Metrics) string {
	parts := make([]string, 0, len(metrics))
	for _, name := range sortedKeys(metrics) {
		parts = append(parts, name+" "+strconv.FormatFloat(metrics[name], 'g', 5, 64))
	}
	return strings.Join(parts, ", ")
}

func durationText(d time.Duration) string {
	switch {
	case d < 0:
		return "?"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
