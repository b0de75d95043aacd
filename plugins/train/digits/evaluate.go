package digits

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Score is how well the model does on some images.
type Score struct {
	Accuracy float64 // share of the images whose digit it tells
	Loss     float64 // mean cross-entropy, in nats
}

// Evaluator scores the model as it is, without dropout, on a set of images, which is on the device once and for all. It
// changes nothing that training depends on.
//
// It works in batches of the size that training has, the last one filled up with its last image: with 355 images at
// once, XLA's convolutions on the CPU were measured to give another loss from run to run. The means are made here, in
// one order.
type Evaluator struct {
	exec    *model.Exec
	batches []batch
	images  int
}

type batch struct {
	x, y   *tensors.Tensor
	images int // that count; the others fill it up
}

// NewEvaluator makes the evaluator of the network whose variables are in the store. batchSize is that of training.
func NewEvaluator(backend compute.Backend, store *model.Store, network Network, batchSize int, set *Images) (*Evaluator, error) {
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x, y *graph.Node) (hits, losses *graph.Node) {
		logits := network.Logits(scope, x)
		y = graph.Squeeze(y, -1)
		hits = graph.ConvertDType(graph.Equal(graph.ArgMax(logits, -1, y.DType()), y), logits.DType())
		truth := graph.OneHot(y, classes, logits.DType())
		losses = graph.Neg(graph.ReduceSum(graph.Mul(truth, graph.LogSoftmax(logits)), -1))
		return hits, losses
	})
	if err != nil {
		return nil, err
	}
	e := &Evaluator{exec: exec, images: set.Len()}
	indices := make([]int, batchSize)
	for first := 0; first < set.Len(); first += len(indices) {
		for i := range indices {
			indices[i] = min(first+i, set.Len()-1)
		}
		x, y := set.At(indices).tensors()
		e.batches = append(e.batches, batch{x, y, min(len(indices), set.Len()-first)})
	}
	return e, nil
}

// Evaluate scores the network as it is now.
func (e *Evaluator) Evaluate() (result Score, err error) {
	for _, b := range e.batches {
		outputs, err := e.exec.Exec(b.x, b.y)
		if err != nil {
			return Score{}, err
		}
		for i, total := range []*float64{&result.Accuracy, &result.Loss} {
			err := tensors.ConstFlatData(outputs[i], func(values []float32) {
				for _, value := range values[:b.images] {
					*total += float64(value)
				}
			})
			if err != nil {
				return Score{}, err
			}
			if err := outputs[i].FinalizeAll(); err != nil {
				return Score{}, err
			}
		}
	}
	result.Accuracy /= float64(e.images)
	result.Loss /= float64(e.images)
	return result, nil
}
