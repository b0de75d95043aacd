// Command train classifies handwritten digits: the experiment that `make run` shows, and the example of one that
// trains with GoMLX.
package main

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// Config is what a user can set.
type Config struct {
	Steps        int64   `json:"steps" jsonschema:"training steps"`
	BatchSize    int     `json:"batch_size" jsonschema:"images in a step"`
	LearningRate float64 `json:"learning_rate" jsonschema:"step size of Adam"`
	Hidden       int     `json:"hidden" jsonschema:"units of each of the two hidden layers"`
	Dropout      float64 `json:"dropout" jsonschema:"probability that a hidden unit is left out in a step"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "digits",
		Version:  "1.0.0",
		Summary:  "Classifies 8×8 images of handwritten digits.",
		Defaults: Config{Steps: 600, BatchSize: 64, LearningRate: 0.001, Hidden: 128, Dropout: 0.2},
		Devices:  []string{"go"},
		Metrics:  map[string]sdk.Direction{"accuracy": sdk.Max, "loss": sdk.Min},
		Train:    trainDigits,
	})
}

func trainDigits(run *sdk.Run, config Config) (sdk.Result, error) {
	trainSet, testSet, err := load()
	if err != nil {
		return nil, err
	}
	if err := config.check(trainSet.len()); err != nil {
		return nil, err
	}
	backend, err := gomlx.Backend(run.Device())
	if err != nil {
		return nil, err
	}
	store := model.NewStore()
	state, err := gomlx.NewState(backend, store, run.Seed())
	if err != nil {
		return nil, err
	}
	step, err := run.Resume(state)
	if err != nil {
		return nil, err
	}

	adam := optimizer.Adam().LearningRate(config.LearningRate).Done()
	trainer := train.NewTrainer(backend, store,
		func(scope *model.Scope, x *graph.Node) *graph.Node { return config.logits(scope, x) },
		loss.SparseCategoricalCrossEntropyLogits, state.Watch(adam), nil, nil)
	evaluator, err := newEvaluator(backend, store, config)
	if err != nil {
		return nil, err
	}
	order := gomlx.Order{Seed: run.Seed(), Size: trainSet.len(), Batch: config.BatchSize}

	err = gomlx.Loop{
		Run: run, State: state, Trainer: trainer, Steps: config.Steps,
		Batch: func(step int64) (train.Batch, error) { return trainSet.at(order.At(step)).batch(), nil },
		After: func(step int64, loss float64) error {
			run.Metrics.Scalar(step, "train/loss", loss)
			if !order.EpochEnds(step) && step != config.Steps {
				return nil
			}
			for tag, set := range map[string]*images{"train/accuracy": trainSet, "test/accuracy": testSet} {
				accuracy, _, err := evaluator.evaluate(set)
				if err != nil {
					return err
				}
				run.Metrics.Scalar(step, tag, accuracy)
			}
			return nil
		},
	}.Train(step)
	if err != nil {
		return nil, err
	}
	accuracy, testLoss, err := evaluator.evaluate(testSet)
	if err != nil {
		return nil, err
	}
	return sdk.Result{"accuracy": accuracy, "loss": testLoss}, nil
}

// check refuses what could not be trained with.
func (c Config) check(images int) error {
	switch {
	case c.Steps < 1:
		return fmt.Errorf("steps is %d: want at least 1", c.Steps)
	case c.BatchSize < 1 || c.BatchSize > images:
		return fmt.Errorf("batch_size is %d: want 1 to %d, the number of training images", c.BatchSize, images)
	case !(c.LearningRate > 0):
		return fmt.Errorf("learning_rate is %g: want more than 0", c.LearningRate)
	case c.Hidden < 1:
		return fmt.Errorf("hidden is %d: want at least 1", c.Hidden)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("dropout is %g: want 0 or more, and less than 1", c.Dropout)
	}
	return nil
}
