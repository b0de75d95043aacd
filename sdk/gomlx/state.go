// Package gomlx brings the training state of a GoMLX model in and out of mtt's checkpoints, and trains in a loop that
// can stop at any step and go on as if it had not.
//
// An experiment makes a Store, gives its State to run.Resume before anything else is built on it, wraps its optimizer
// with State.Watch, and trains with a Loop:
//
//	store := model.NewStore()
//	state, err := gomlx.NewState(backend, store, run.Seed())
//	step, err := run.Resume(state)
//	trainer := train.NewTrainer(backend, store, modelFn, lossFn, state.Watch(optimizer.Adam().Done()), nil, nil)
//	err = gomlx.Loop{Run: run, State: state, Trainer: trainer, Steps: 1000, Batch: batch}.Train(step)
//	return sdk.Result{"loss": state.Loss()}, err
//
// Every variable of the store is state, whoever makes or changes it: a graph, Loop.After, or an Exec of the experiment's
// own, such as one that averages weights. So are hyperparameters (Store.SetParam) that change while training; what they
// begin with is configuration, to be set before run.Resume. A second store needs a State of its own: see State.Named.
// What an experiment keeps in Go variables is no state, unless run.Resume is given an sdk.JSON of it too.
//
// A result must follow from the state alone: from variables, State.Loss, and what an sdk.JSON keeps. A resume from the
// last checkpoint may have no step left to train.
package gomlx

import (
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/mtt-project/mtt/sdk"
)

// State is everything in a Store that the next training step depends on: all variables, among them parameters, optimizer
// moments, counters, schedules and the state of the random numbers; which of them are trainable; and the loss of the
// last step. It implements sdk.State.
//
// Only what GoMLX's metrics keep is left out where no training step changes it: it is reset before each evaluation.
type State struct {
	backend compute.Backend
	store   *model.Store
	blob    string // name of the one that it makes in a checkpoint

	loaded     *loaded // what came from the checkpoint; nil if there was none
	waiting    waiting // what of it waits for its variable to be made
	metrics    metricNames
	training   training
	configured params   // hyperparameters at the beginning of the first step; nil before
	changed    params   // hyperparameters that have changed since the run's first step
	begun      bool     // the first training step of this attempt has
	looped     bool     // by a Loop
	within     bool     // Loop is within a step
	loss       *float64 // of the last step; nil if it is not known
}

var _ sdk.State = (*State)(nil)

// NewState makes the state of a new, empty store, whose random numbers, those of the initial parameters and of dropout
// among them, follow from seed.
func NewState(backend compute.Backend, store *model.Store, seed int64) (*State, error) {
	if n := store.NumVariables(); n > 0 {
		return nil, fmt.Errorf("the store has %d variables already: make its state first", n)
	}
	if err := store.SetRNGStateFromSeed(seed); err != nil {
		return nil, fmt.Errorf("cannot seed the random numbers: %w", err)
	}
	s := &State{backend: backend, store: store, blob: blobName, metrics: metricNames{}, changed: params{}}
	s.waiting = waiting{state: s, next: store.Loader(), values: map[string]*tensors.Tensor{}, given: map[string]bool{}}
	store.SetLoader(&s.waiting)
	return s, nil
}

// blobName is the blob of a State without a name of its own.
const blobName = "state.safetensors"

// Named gives a State another name than "state", so that a run can have several, each with a store of its own. It returns
// the State.
func (s *State) Named(name string) *State {
	s.blob = name + ".safetensors"
	return s
}

// Loss is that of the last step that a Loop has trained, in this attempt or before; NaN if there was none.
func (s *State) Loss() float64 {
	if s.loss == nil {
		return math.NaN()
	}
	return *s.loss
}

var randomPath = model.JoinPath("/", model.RNGStateVariableName)
