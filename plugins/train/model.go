package main

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"
)

// The networks.
const (
	mlp = "mlp"
	cnn = "cnn"
)

// logits is the model: it takes pixels shaped [batch, 64] and returns the unnormalised log-probabilities of the digits,
// shaped [batch, 10].
func (c Config) logits(scope *model.Scope, x *graph.Node) *graph.Node {
	scope = scope.In("model")
	if c.Model == cnn {
		x = c.convolve(scope, x)
		x = c.hide(scope.In("hidden"), x)
	} else {
		x = c.hide(scope.In("hidden_1"), x)
		x = c.hide(scope.In("hidden_2"), x)
	}
	return layers.Dense(scope.In("output"), x, true, digits)
}

// hide is a hidden layer with ReLU and dropout.
func (c Config) hide(layer *model.Scope, x *graph.Node) *graph.Node {
	return layers.DropoutStatic(layer, activation.Relu(layers.Dense(layer, x, true, c.Hidden)), c.Dropout)
}

// convolve turns pixels shaped [batch, 64] into features shaped [batch, 256]: two 3×3 convolutions with ReLU, of 32 and
// 64 channels. The second one strides, since with deterministic sums there is no gradient of a maximum pool on a GPU.
func (c Config) convolve(scope *model.Scope, x *graph.Node) *graph.Node {
	batch := x.Shape().Dimensions[0]
	x = graph.Reshape(x, batch, side, side, 1)
	x = activation.Relu(layers.Convolution(scope.In("conv_1"), x).Channels(32).KernelSize(3).PadSame().Done())
	x = activation.Relu(layers.Convolution(scope.In("conv_2"), x).Channels(64).KernelSize(3).PadSame().Strides(2).Done())
	x = graph.MeanPool(x).Window(2).Done()
	return graph.Reshape(x, batch, -1)
}
