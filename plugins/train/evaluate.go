package main

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/loss"
)

// score is how well the model does on some images.
type score struct {
	accuracy float64 // share of the images whose digit it tells
	loss     float64 // mean cross-entropy, in nats
}

// evaluator scores the model as it is, without dropout. It changes nothing that training depends on.
type evaluator struct{ exec *model.Exec }

func newEvaluator(backend compute.Backend, store *model.Store, config Config) (*evaluator, error) {
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x, y *graph.Node) (correct, meanLoss *graph.Node) {
		logits := config.logits(scope, x)
		hits := graph.Equal(graph.ArgMax(logits, -1, y.DType()), graph.Squeeze(y, -1))
		correct = graph.ReduceAllSum(graph.ConvertDType(hits, dtypes.Int32))
		meanLoss = graph.ReduceAllMean(loss.SparseCategoricalCrossEntropyLogits([]*graph.Node{y}, []*graph.Node{logits}))
		return correct, meanLoss
	})
	return &evaluator{exec}, err
}

func (e *evaluator) evaluate(set *images) (score, error) {
	x, y := set.tensors()
	outputs, err := e.exec.Exec(x, y)
	if err != nil {
		return score{}, err
	}
	result := score{
		accuracy: float64(tensors.ToScalar[int32](outputs[0])) / float64(set.len()),
		loss:     float64(tensors.ToScalar[float32](outputs[1])),
	}
	for _, t := range append(outputs, x, y) {
		if err := t.FinalizeAll(); err != nil {
			return score{}, err
		}
	}
	return result, nil
}
