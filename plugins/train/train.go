package main

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// trainDigits trains from where the run is to its last step, and returns the accuracy and the loss on the test images.
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
	trainer := train.NewTrainer(backend, store, config.logits,
		loss.SparseCategoricalCrossEntropyLogits, state.Watch(adam), nil, nil)
	trainScore, err := newEvaluator(backend, store, config, trainSet)
	if err != nil {
		return nil, err
	}
	testScore, err := newEvaluator(backend, store, config, testSet)
	if err != nil {
		return nil, err
	}
	order := gomlx.Order{Seed: run.Seed(), Size: trainSet.len(), Batch: config.BatchSize}

	err = gomlx.Loop{
		Run: run, State: state, Trainer: trainer, Steps: config.Steps,
		Batch: func(step int64) (train.Batch, error) { return trainSet.at(order.At(step)).batch(), nil },
		After: func(step int64, loss float64) error {
			run.Metrics.Scalar(step, "train/loss", loss)
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return fmt.Errorf("training has diverged: the loss of step %d is %v; a smaller learning_rate may help", step, loss)
			}
			if !order.EpochEnds(step) && step != config.Steps {
				return nil
			}
			onTrain, err := trainScore.evaluate()
			if err != nil {
				return err
			}
			onTest, err := testScore.evaluate()
			if err != nil {
				return err
			}
			run.Metrics.Scalar(step, "train/accuracy", onTrain.accuracy)
			run.Metrics.Scalar(step, "test/accuracy", onTest.accuracy)
			run.Metrics.Scalar(step, "test/loss", onTest.loss)
			return nil
		},
	}.Train(step)
	if err != nil {
		return nil, err
	}
	// Anew, since a run that was killed behind its last step comes here without one.
	onTest, err := testScore.evaluate()
	if err != nil {
		return nil, err
	}
	return sdk.Result{"accuracy": onTest.accuracy, "loss": onTest.loss}, nil
}
