package gomlx

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"

	"github.com/mtt-project/mtt/sdk"
)

// Run is what a Loop needs of a *sdk.Run, whose methods these are.
type Run interface {
	Progress(step, total int64)
	ShouldSave(step int64) bool
	Save(step int64) error
	Stopped() bool
}

var _ Run = (*sdk.Run)(nil)

// Loop trains step by step. It stands in for train.Loop, which can stop only between calls and whose schedules depend
// on where a call was meant to end.
type Loop struct {
	Run     Run
	State   *State         // that Run.Resume was given
	Trainer *train.Trainer // with the optimizer of State.Watch
	Steps   int64          // where training ends
	// Batch makes the batch of a step, counted from 1: a function of the seed and the step alone. It is called for one
	// step at a time, in order; for a device with a memory of its own in another goroutine and one step ahead, so that
	// the device need not wait for it: it must not look at what After changes. The trainer takes the batch over.
	Batch func(step int64) (train.Batch, error)
	// After is called behind each step with the step's loss: to log, and to evaluate at the end of an epoch. The step's
	// checkpoint comes after it, so that what it logs is not lost with a kill. It must leave the variables alone. It
	// may be nil.
	After func(step int64, loss float64) error
}

// Train trains from step, which Run.Resume has returned, to Steps. It returns sdk.ErrStopped, with a checkpoint made,
// if the attempt was asked to stop.
func (l Loop) Train(step int64) error {
	next, leave := l.batches(step)
	defer leave()
	for first := true; step < l.Steps; first = false {
		step++
		loss, err := l.step(next)
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

// batches returns the batches behind step, one with each call of next.
func (l Loop) batches(step int64) (next func() (train.Batch, error), leave func()) {
	if !l.State.backend.HasSharedBuffers() {
		ahead := makeAhead(l.State.backend, l.Batch, step+1, l.Steps)
		return ahead.next, ahead.leave
	}
	// The device is the processor: there is nothing to send, and what makes batches takes its time from training.
	return func() (train.Batch, error) {
		step++
		return l.Batch(step)
	}, func() {}
}

func (l Loop) step(next func() (train.Batch, error)) (loss float64, err error) {
	batch, err := next()
	if err != nil {
		return 0, err
	}
	metrics, err := l.Trainer.TrainStep(batch)
	if err != nil {
		return 0, explain(err)
	}
	loss, err = scalar(metrics[0]) // the batch's loss, which NewTrainer puts first
	for _, metric := range metrics {
		if finalizeErr := metric.FinalizeAll(); err == nil {
			err = finalizeErr
		}
	}
	return loss, err
}

// explain adds to an error of XLA's, in front of many lines of its own, what a person can do.
func explain(err error) error {
	if strings.Contains(err.Error(), "RESOURCE_EXHAUSTED") { // absl::StatusCode's name, which PJRT's messages begin with
		return fmt.Errorf("the device has not enough free memory for this model and batch: make one of them smaller, or end what else uses the device: %w", err)
	}
	return err
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
