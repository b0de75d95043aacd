package main

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
)

// logits is the model: two hidden layers with ReLU and dropout. It takes pixels shaped [batch, 64] and returns the
// unnormalised log-probabilities of the digits, shaped [batch, 10].
func (c Config) logits(scope *model.Scope, x *graph.Node) *graph.Node {
	scope = scope.In("model")
	for _, name := range []string{"hidden_1", "hidden_2"} {
		layer := scope.In("%s", name)
		x = activation.Relu(layers.Dense(layer, x, true, c.Hidden))
		if c.Dropout > 0 {
			x = layers.DropoutStatic(layer, x, c.Dropout)
		}
	}
	return layers.Dense(scope.In("output"), x, true, digits)
}

// tensors returns pixels shaped [n, 64] and labels shaped [n, 1].
func (d *images) tensors() (pixelsTensor, labelsTensor *tensors.Tensor) {
	return tensors.FromFlatDataAndDimensions(d.pixels, d.len(), pixels),
		tensors.FromFlatDataAndDimensions(d.labels, d.len(), 1)
}

func (d *images) batch() train.Batch {
	x, y := d.tensors()
	return train.Batch{Inputs: []*tensors.Tensor{x}, Labels: []*tensors.Tensor{y}}
}

// evaluator computes the model's accuracy and mean loss on images. It changes nothing that training depends on.
type evaluator struct{ exec *model.Exec }

func newEvaluator(backend compute.Backend, store *model.Store, config Config) (*evaluator, error) {
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x, y *graph.Node) (correct, loss *graph.Node) {
		logits := config.logits(scope, x)
		y = graph.Squeeze(y, -1)
		hits := graph.Equal(graph.ArgMax(logits, -1, y.DType()), y)
		correct = graph.ReduceAllMean(graph.ConvertDType(hits, logits.DType()))
		truth := graph.OneHot(y, digits, logits.DType())
		loss = graph.Neg(graph.ReduceAllMean(graph.ReduceSum(graph.Mul(truth, graph.LogSoftmax(logits)), -1)))
		return correct, loss
	})
	return &evaluator{exec}, err
}

func (e *evaluator) evaluate(d *images) (accuracy, loss float64, err error) {
	x, y := d.tensors()
	outputs, err := e.exec.Exec(x, y)
	if err != nil {
		return 0, 0, err
	}
	accuracy, loss = float64(tensors.ToScalar[float32](outputs[0])), float64(tensors.ToScalar[float32](outputs[1]))
	for _, t := range append(outputs, x, y) {
		if err := t.FinalizeAll(); err != nil {
			return 0, 0, err
		}
	}
	return accuracy, loss, nil
}
