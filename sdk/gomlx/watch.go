package gomlx

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// Watch wraps the optimizer of a trainer, so that State learns which variables the graph of the training step uses, and
// refuses a checkpoint of another model.
func (s *State) Watch(inner optimizer.Interface) optimizer.Interface {
	w := watched{inner, s, s.training.watched}
	s.training.watched++
	if accumulating, ok := inner.(train.OptimizeWithGradients); ok {
		return watchedWithGradients{w, accumulating}
	}
	return w
}

type watched struct {
	optimizer.Interface
	state  *State
	number int
}

func (w watched) UpdateGraph(scope *model.Scope, g *graph.Graph, loss *graph.Node) {
	w.state.build(g, w.number, func() { w.Interface.UpdateGraph(scope, g, loss) })
}

// watchedWithGradients is an optimizer with which a trainer can accumulate gradients.
type watchedWithGradients struct {
	watched
	accumulating train.OptimizeWithGradients
}

func (w watchedWithGradients) UpdateGraphWithGradients(scope *model.Scope, gradients []*graph.Node, lossType dtypes.DType) {
	w.state.build(gradients[0].Graph(), w.number, func() {
		w.accumulating.UpdateGraphWithGradients(scope, gradients, lossType)
	})
}

// build builds the optimizer's part of the training step. As all that builds graphs it panics with its errors, which
// GoMLX returns.
func (s *State) build(g *graph.Graph, optimizer int, update func()) {
	if err := s.begin(); err != nil {
		panic(err)
	}
	s.waiting.mark()
	update()
	trainable := map[*model.Variable]bool{}
	for variable := range s.store.IterVariables() {
		if variable.InUseByGraph(g) {
			trainable[variable] = variable.Trainable
		}
	}
	if s.configured == nil {
		s.configured = s.params()
	}
	s.training.current = optimizer
	s.training.built = append(s.training.built, built{graph: g, trainable: trainable})
}
