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
package gomlx

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/metric"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
)

// State is everything in a Store that the next training step depends on: parameters, optimizer moments, counters, the
// state of the random numbers, and which variables are trainable. It implements sdk.State.
type State struct {
	backend compute.Backend
	store   *model.Store
	loaded  map[string]bool // paths of the variables that came from a checkpoint; nil if there was none
	graph   *graph.Graph    // of the training step; nil until it was built
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
	return &State{backend: backend, store: store}, nil
}

// The variables that are no state, besides those of metrics: GoMLX makes them anew.
var (
	learningRatePath = model.JoinPath("/"+optimizer.Scope, optimizer.ParamLearningRate)       // from the configuration
	lastStepPath     = model.JoinPath(train.TrainerAbsoluteScope, train.TrainLastStepVarName) // where train.Loop was to end
	metricsPrefix    = "/" + metric.Scope + "/"                                               // with random names
)

var randomPath = model.JoinPath("/", model.RNGStateVariableName)

func isState(path string) bool {
	return path != learningRatePath && path != lastStepPath && !strings.HasPrefix(path, metricsPrefix)
}

// variables returns those that make up the state, in the order in which they were made.
func (s *State) variables() []*model.Variable {
	var variables []*model.Variable
	for variable := range s.store.IterVariables() {
		if isState(variable.Path()) {
			variables = append(variables, variable)
		}
	}
	return variables
}
