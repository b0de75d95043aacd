package main

import (
	"fmt"
	"math"
	"os"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/plugins/train/digits"
	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// trainDigits trains from where the run is to its last step, and returns the accuracy and the loss on the test images.
func trainDigits(run *sdk.Run, config Config) (sdk.Result, error) {
	trainSet, testSet, err := digits.Load()
	if err != nil {
		return nil, err
	}
	if err := config.check(trainSet.Len()); err != nil {
		return nil, err
	}
	backend, err := gomlx.Backend(run.Device())
	if err != nil {
		return nil, err
	}
	if config.Model == digits.CNN && run.Device() == "go" {
		fmt.Fprintln(os.Stderr, "a convolution in pure Go takes a second a step, and with XLA milliseconds: mtt-host doctor says how to get it")
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

	network := digits.Network{Kind: config.Model, Hidden: config.Hidden, Dropout: config.Dropout}
	adam := optimizer.Adam().LearningRate(config.LearningRate).Done()
	trainer := train.NewTrainer(backend, store, network.Logits,
		loss.SparseCategoricalCrossEntropyLogits, state.Watch(adam), nil, nil)
	trainScore, err := digits.NewEvaluator(backend, store, network, config.BatchSize, trainSet)
	if err != nil {
		return nil, err
	}
	testScore, err := digits.NewEvaluator(backend, store, network, config.BatchSize, testSet)
	if err != nil {
		return nil, err
	}
	order := gomlx.Order{Seed: run.Seed(), Size: trainSet.Len(), Batch: config.BatchSize}

	err = gomlx.Loop{
		Run: run, State: state, Trainer: trainer, Steps: config.Steps,
		Batch: func(step int64) (train.Batch, error) { return trainSet.At(order.At(step)).Batch(), nil },
		After: func(step int64, loss float64) error {
			run.Metrics.Scalar(step, "train/loss", loss)
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return fmt.Errorf("training has diverged: the loss of step %d is %v; a smaller learning_rate may help", step, loss)
			}
			if !order.EpochEnds(step) && step != config.Steps {
				return nil
			}
			onTrain, err := trainScore.Evaluate()
			if err != nil {
				return err
			}
			onTest, err := testScore.Evaluate()
			if err != nil {
				return err
			}
			run.Metrics.Scalar(step, "train/accuracy", onTrain.Accuracy)
			run.Metrics.Scalar(step, "test/accuracy", onTest.Accuracy)
			run.Metrics.Scalar(step, "test/loss", onTest.Loss)
			return nil
		},
	}.Train(step)
	if err != nil {
		return nil, err
	}
	// Anew: a result follows from the state alone.
	onTest, err := testScore.Evaluate()
	if err != nil {
		return nil, err
	}
	return sdk.Result{"accuracy": onTest.Accuracy, "loss": onTest.Loss}, nil
}
