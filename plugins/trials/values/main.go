// Command values is an experiment whose configuration has values of many types, for tests of what a user can set. It writes
// what it was given to its output directory.
package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"

	"github.com/mtt-project/mtt/sdk"
)

// Config has a value of each type whose limits a user can meet.
type Config struct {
	Big     int64              `json:"big"`
	Huge    uint64             `json:"huge"`
	Small   uint8              `json:"small"`
	Rate    float64            `json:"lr"`
	Rate32  float32            `json:"lr32"`
	Text    string             `json:"text"`
	Layers  []int32            `json:"layers"`
	Weights map[string]float32 `json:"weights"`
	Adam    struct {
		Beta float64 `json:"beta"`
	} `json:"adam"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "values",
		Summary:  "Writes down its configuration.",
		Defaults: Config{Rate: 0.1, Rate32: 0.1, Weights: map[string]float32{}},
		Metrics:  map[string]sdk.Direction{"small": sdk.Max},
		Train:    train,
	})
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	return result(config), os.WriteFile(filepath.Join(run.OutputDir(), "config.json"), raw, 0o600)
}

// result has what the tests want to see of a result.
func result(config Config) sdk.Result {
	switch config.Text {
	case "nothing":
		return nil
	case "not finite":
		return sdk.Result{"small": math.NaN(), "up": math.Inf(1), "down": math.Inf(-1)}
	default:
		return sdk.Result{"small": float64(config.Small)}
	}
}
