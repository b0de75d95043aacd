package main

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"
)

const classes = 10

// workload is a network and the shape of what it is fed.
type workload struct {
	batch  int
	input  []int // of one example: [features], or [height, width, channels] with convolve
	hidden []int // units of each hidden layer
	// convolve puts two 3×3 convolutions in front, of 32 and 64 channels, the second with stride 2, and a 2×2 mean.
	convolve bool
}

var workloads = map[string]workload{
	"cnn-8":    {batch: 64, input: []int{8, 8, 1}, hidden: []int{128}, convolve: true},
	"cnn-32":   {batch: 256, input: []int{32, 32, 3}, hidden: []int{128}, convolve: true},
	"mlp-4096": {batch: 1024, input: []int{784}, hidden: []int{4096, 4096}},
}

// features is how many numbers an example has.
func (w workload) features() int {
	n := 1
	for _, dimension := range w.input {
		n *= dimension
	}
	return n
}

// logits takes x shaped [batch, input...] and returns logits shaped [batch, 10].
func (w workload) logits(scope *model.Scope, x *graph.Node) *graph.Node {
	if w.convolve {
		x = activation.Relu(layers.Convolution(scope.In("conv_1"), x).Channels(32).KernelSize(3).PadSame().Done())
		x = activation.Relu(layers.Convolution(scope.In("conv_2"), x).Channels(64).KernelSize(3).PadSame().Strides(2).Done())
		x = graph.Reshape(graph.MeanPool(x).Window(2).Done(), w.batch, -1)
	}
	for i, units := range w.hidden {
		x = activation.Relu(layers.Dense(scope.In("hidden_%d", i), x, true, units))
	}
	return layers.Dense(scope.In("output"), x, true, classes)
}
