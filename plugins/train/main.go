// Command train classifies handwritten digits: the experiment that `make run` shows, and the example of one that
// trains with GoMLX.
package main

import (
	"fmt"

	"github.com/mtt-project/mtt/plugins/train/digits"
	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// Config is what a user can set.
type Config struct {
	Model        string  `json:"model" jsonschema:"network to train: mlp, or cnn, which wants XLA"`
	Steps        int64   `json:"steps" jsonschema:"training steps"`
	BatchSize    int     `json:"batch_size" jsonschema:"images in a step"`
	LearningRate float64 `json:"learning_rate" jsonschema:"step size of Adam"`
	Hidden       int     `json:"hidden" jsonschema:"units of a hidden layer; the mlp has two, the cnn one"`
	Dropout      float64 `json:"dropout" jsonschema:"probability that a hidden unit is left out in a step"`
}

var defaults = Config{Model: digits.MLP, Steps: 600, BatchSize: 64, LearningRate: 0.003, Hidden: 128, Dropout: 0.3}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "digits",
		Version:  "1.0.0",
		Summary:  "Classifies 8×8 images of handwritten digits.",
		Defaults: defaults,
		Devices:  gomlx.Devices(),
		Metrics:  map[string]sdk.Direction{"accuracy": sdk.Max, "loss": sdk.Min},
		Train:    trainDigits,
	})
}

// maxHidden keeps a slip of the finger from filling the memory: with it the state has 0.8 GB.
const maxHidden = 8192

// check refuses what could not be trained with. images is the number of those to train on.
func (c Config) check(images int) error {
	switch {
	case c.Model != digits.MLP && c.Model != digits.CNN:
		return fmt.Errorf("model is %q: want %s or %s", c.Model, digits.MLP, digits.CNN)
	case c.Steps < 1:
		return fmt.Errorf("steps is %d: want at least 1", c.Steps)
	case c.BatchSize < 1 || c.BatchSize > images:
		return fmt.Errorf("batch_size is %d: want 1 to %d, the number of training images", c.BatchSize, images)
	case !(c.LearningRate > 0): // written so as to refuse a NaN too
		return fmt.Errorf("learning_rate is %g: want more than 0", c.LearningRate)
	case c.Hidden < 1 || c.Hidden > maxHidden:
		return fmt.Errorf("hidden is %d: want 1 to %d", c.Hidden, maxHidden)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("dropout is %g: want 0 or more, and less than 1", c.Dropout)
	}
	return nil
}
