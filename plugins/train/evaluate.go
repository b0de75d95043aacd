package main

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// score is how well the model does on some images.
type score struct {
	accuracy float64 // share of the images whose digit it tells
	loss     float64 // mean cross-entropy, in nats
}

// evaluator scores the model as it is, without dropout, on a set of images, which is on the device once and for all. It
// changes nothing that training depends on.
//
// It works in batches of the size that training has, the last one filled up with its last image: with 355 images at
// once, XLA's convolutions on the CPU were measured to give another loss from run to run. The means are made here, in
// one order.
type evaluator struct {
	exec    *model.Exec
	batches []batch
	images  int
}

type batch struct {
	x, y   *tensors.Tensor
	images int // that count; the others fill it up
}

func newEvaluator(backend compute.Backend, store *model.Store, config Config, set *images) (*evaluator, error) {
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x, y *graph.Node) (hits, losses *graph.Node) {
		logits := config.logits(scope, x)
		y = graph.Squeeze(y, -1)
		hits = graph.ConvertDType(graph.Equal(graph.ArgMax(logits, -1, y.DType()), y), logits.DType())
		truth := graph.OneHot(y, digits, logits.DType())
		losses = graph.Neg(graph.ReduceSum(graph.Mul(truth, graph.LogSoftmax(logits)), -1))
		return hits, losses
	})
	if err != nil {
		return nil, err
	}
	e := &evaluator{exec: exec, images: set.len()}
	indices := make([]int, config.BatchSize)
	for first := 0; first < set.len(); first += len(indices) {
		for i := range indices {
			indices[i] = min(first+i, set.len()-1)
		}
		x, y := set.at(indices).tensors()
		e.batches = append(e.batches, batch{x, y, min(len(indices), set.len()-first)})
	}
	return e, nil
}

func (e *evaluator) evaluate() (result score, err error) {
	for _, b := range e.batches {
		outputs, err := e.exec.Exec(b.x, b.y)
		if err != nil {
			return score{}, err
		}
		for i, total := range []*float64{&result.accuracy, &result.loss} {
			err := tensors.ConstFlatData(outputs[i], func(values []float32) {
				for _, value := range values[:b.images] {
					*total += float64(value)
				}
			})
			if err != nil {
				return score{}, err
			}
			if err := outputs[i].FinalizeAll(); err != nil {
				return score{}, err
			}
		}
	}
	result.accuracy /= float64(e.images)
	result.loss /= float64(e.images)
	return result, nil
}
