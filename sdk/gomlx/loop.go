package gomlx

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"

	"github.com/mtt-project/mtt/sdk"
)

// Loop trains step by step. It stands in for train.Loop, which can stop only between calls and whose schedules depend
// on where a call was meant to end.
type Loop struct {
	Run     *sdk.Run
	State   *State // that Run.Resume was given
	Trainer *train.Trainer
	Steps   int64 // where training ends
	// Batch makes the batch of a step, counted from 1: a function of the seed and the step alone. The trainer takes
	// it over.
	Batch func(step int64) (train.Batch, error)
	// After is called behind each step, before its checkpoint, with the step's loss: to log, and to evaluate at the
	// end of an epoch. It may be nil.
	After func(step int64, loss float64) error
}

// Train trains from step, which Run.Resume has returned, to Steps. It returns sdk.ErrStopped, with a checkpoint made,
// if the attempt was asked to stop.
func (l Loop) Train(step int64) error {
	for first := true; step < l.Steps; first = false {
		step++
		loss, err := l.step(step)
		if err != nil {
			return fmt.Errorf("training step %d: %w", step, err)
		}
		if first {
			if err := l.State.check(); err != nil {
				return err
			}
		}
		if l.After != nil {
			if err := l.After(step, loss); err != nil {
				return err
			}
		}
		l.Run.Progress(step, l.Steps)
		if l.Run.ShouldSave(step) {
			if err := l.Run.Save(step); err != nil {
				return err
			}
		}
		if l.Run.Stopped() {
			return sdk.ErrStopped
		}
	}
	return nil
}

func (l Loop) step(step int64) (loss float64, err error) {
	batch, err := l.Batch(step)
	if err != nil {
		return 0, err
	}
	metrics, err := l.Trainer.TrainStep(batch)
	if err != nil {
		return 0, err
	}
	loss, err = scalar(metrics[0]) // the batch's loss, which NewTrainer puts first
	for _, metric := range metrics {
		if finalizeErr := metric.FinalizeAll(); err == nil {
			err = finalizeErr
		}
	}
	return loss, err
}

func scalar(t *tensors.Tensor) (float64, error) {
	switch t.DType() {
	case dtypes.Float32:
		return float64(tensors.ToScalar[float32](t)), nil
	case dtypes.Float64:
		return tensors.ToScalar[float64](t), nil
	default:
		return 0, fmt.Errorf("the loss has type %s: convert it to float32 at the end of the loss function", t.DType())
	}
}
