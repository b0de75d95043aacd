package worker

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// resultWarnings says what of a result may not be what was wanted: a metric that the experiment declares and does not
// return, and a value that is no number to compare.
func resultWarnings(declared map[string]string, result checkpoint.Metrics) (warnings []string) {
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if _, ok := result[name]; !ok {
			warnings = append(warnings, fmt.Sprintf("the result has no %s, which the experiment declares", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(result)) {
		if value := result[name]; math.IsNaN(value) || math.IsInf(value, 0) {
			warnings = append(warnings, fmt.Sprintf("in the result, %s is %v", name, value))
		}
	}
	return warnings
}
