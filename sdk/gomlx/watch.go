package gomlx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// Watch wraps the optimizer of the trainer, so that State learns which variables the graph of the training step uses.
// GoMLX initialises a variable that the checkpoint lacks, and ignores one that the model does not use, both in silence;
// a resume like that is not the same run.
//
// The wrapped optimizer cannot accumulate gradients: GoMLX counts the accumulated steps outside of its variables, so a
// run that stopped between two applications could not be resumed exactly.
func (s *State) Watch(inner optimizer.Interface) optimizer.Interface { return watched{inner, s} }

type watched struct {
	optimizer.Interface
	state *State
}

func (w watched) UpdateGraph(scope *model.Scope, g *graph.Graph, loss *graph.Node) {
	w.Interface.UpdateGraph(scope, g, loss)
	w.state.graph = g
}

// check compares the variables of the model with those of the checkpoint. It is called behind the first step.
func (s *State) check() error {
	if s.graph == nil {
		return errors.New("the trainer's optimizer is not the one of State.Watch")
	}
	missing, unused := s.missing(), s.unused()
	if len(missing)+len(unused) == 0 {
		return nil
	}
	var reasons []string
	if len(missing) > 0 {
		reasons = append(reasons, "it has no "+strings.Join(missing, ", "))
	}
	if len(unused) > 0 {
		reasons = append(reasons, "the model does not use its "+strings.Join(unused, ", "))
	}
	return fmt.Errorf("the checkpoint that was loaded is not of this model: %s", strings.Join(reasons, "; "))
}

// missing lists the variables that a checkpoint was loaded without, sorted.
func (s *State) missing() (paths []string) {
	if s.loaded == nil {
		return nil
	}
	for _, variable := range s.variables() {
		if !s.loaded[variable.Path()] {
			paths = append(paths, variable.Path())
		}
	}
	slices.Sort(paths)
	return paths
}

// unused lists the variables that came from a checkpoint and are not in the training step, sorted. The state of the
// random numbers need not be: a model without dropout uses it for its initial parameters alone.
func (s *State) unused() (paths []string) {
	for path := range s.loaded {
		variable := s.store.GetVariable(path)
		if path != randomPath && (variable == nil || !variable.InUseByGraph(s.graph)) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
