package gomlx

import (
	"errors"
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
	Trainer *train.Trainer // with the optimizer of State.Watch; it may accumulate gradients
	Steps   int64          // where training ends
	// Batch makes the batch of a step, counted from 1: a function of the seed and the step alone. It is called for one
	// step at a time, in order; for a device with a memory of its own in another goroutine and one step ahead, so that
	// the device need not wait for it: it must not look at what After changes. The trainer takes the batch over.
	Batch func(step int64) (train.Batch, error)
	// After is called behind each step with the step's loss: to log, to evaluate at the end of an epoch, to set variables,
	// or to end training by returning ErrDone. The step's checkpoint comes after it, so that what it logs and sets is not
	// lost with a kill; it must not save by itself. It may be nil.
	After func(step int64, loss float64) error
}

// ErrDone is what After returns to end training with this step, before Steps. It is no failure: Train then returns nil.
// What it is decided by belongs into the state, so that a resume decides the same.
var ErrDone = errors.New("training is done")

// Train trains from step, which Run.Resume has returned, to Steps or to where After ends it. It returns sdk.ErrStopped,
// with a checkpoint made, if the attempt was asked to stop before.
//
// It makes no checkpoint of the last step: that is the final one, which comes when the experiment has returned its result.
func (l Loop) Train(step int64) error {
	l.State.looped = true
	if step >= l.Steps {
		return nil
	}
	if err := l.begin(); err != nil {
		return err
	}
	start := step
	next, leave := l.batches(start)
	defer leave()
	defer func() { l.State.within = false }()
	for {
		step++
		l.State.within = true
		if err := l.step(next); err != nil {
			return fmt.Errorf("training step %d: %w", step, err)
		}
		applied := l.applied(step - start)
		if err := l.check(applied); err != nil {
			return err
		}
		l.Run.Progress(step, l.Steps)
		done, err := l.after(step)
		if err != nil {
			return err
		}
		switch {
		case done || step == l.Steps:
			return nil
		case !applied:
			continue
		}
		l.State.within = false
		if l.Run.ShouldSave(step) {
			if err := l.Run.Save(step); err != nil {
				return err
			}
		}
		if l.Run.Stopped() {
			return sdk.ErrStopped
		}
	}
}

// begin prepares the state for the first step.
func (l Loop) begin() error {
	if !l.State.begun {
		l.State.restoreParams() // over what was set behind run.Resume
	}
	if err := l.State.begin(); err != nil {
		return err
	}
	// As train.Loop does, for schedules that divide the steps into cycles.
	last := tensors.FromScalar(l.Steps)
	variable, err := l.State.store.CreateVariable(lastStepPath, last)
	if err != nil {
		return err
	}
	return variable.SetTrainable(false).SetValuePreservingOld(last)
}

// applied says whether, after so many steps, the gradients have changed the parameters, and are not still being
// accumulated.
func (l Loop) applied(steps int64) bool {
	n := int64(l.Trainer.NumAccumulatingSteps())
	return n < 2 || steps%n == 0
}

// check looks at the graph of the training step once it was built.
func (l Loop) check(applied bool) error {
	if applied && len(l.State.training.built) == 0 {
		return errors.New("the trainer's optimizer is not the one of State.Watch")
	}
	if l.State.training.compared {
		return nil
	}
	return l.State.examine()
}

func (l Loop) after(step int64) (done bool, err error) {
	if l.After == nil {
		return false, nil
	}
	err = l.After(step, *l.State.loss)
	if errors.Is(err, ErrDone) {
		return true, nil
	}
	return false, err
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

// step makes one step, and keeps its loss.
func (l Loop) step(next func() (train.Batch, error)) error {
	batch, err := next()
	if err != nil {
		return err
	}
	l.State.training.stepping = true
	metrics, err := l.Trainer.TrainStep(batch)
	l.State.training.stepping = false
	if err != nil {
		return explain(err)
	}
	loss, err := scalar(metrics[0]) // the batch's loss, which NewTrainer puts first
	for _, metric := range metrics {
		if finalizeErr := metric.FinalizeAll(); err == nil {
			err = finalizeErr
		}
	}
	l.State.loss = &loss
	return err
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
