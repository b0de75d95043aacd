package gomlx

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// Watch wraps the optimizer of the trainer, so that State learns when the graph of the training step is built and which
// variables it uses. GoMLX initialises a variable that the checkpoint lacks, and leaves one alone that the model does
// not use, both in silence; a resume like that is not the same run.
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

// check compares the variables of the training step's graph with those of the checkpoint. It is called behind the
// first step.
func (s *State) check() error {
	if s.graph == nil {
		return errors.New("the trainer's optimizer is not the one of State.Watch")
	}
	if s.loaded == nil {
		return nil
	}
	var missing, extra []string
	for _, variable := range s.variables() {
		used := variable.InUseByGraph(s.graph)
		switch {
		case used && !s.loaded[variable.Path()]:
			missing = append(missing, variable.Path())
		case !used && s.loaded[variable.Path()]:
			extra = append(extra, variable.Path())
		}
	}
	if len(missing)+len(extra) == 0 {
		return nil
	}
	return fmt.Errorf("the checkpoint is not of this model: it has no %s, and the model does not use its %s", list(missing), list(extra))
}

func list(paths []string) string {
	if len(paths) == 0 {
		return "(nothing)"
	}
	return strings.Join(paths, ", ")
}
