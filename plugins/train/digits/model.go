package digits

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"
)

// The kinds of network.
const (
	MLP = "mlp" // two hidden layers
	CNN = "cnn" // two convolutions and one hidden layer
)

// Network tells a digit from an image.
type Network struct {
	Kind    string  // MLP or CNN
	Hidden  int     // units of a hidden layer
	Dropout float64 // probability that a hidden unit is left out in a step; at least 0 and below 1
}

// Logits is the model: it takes pixels shaped [batch, 64] and returns the unnormalised log-probabilities of the digits,
// shaped [batch, 10].
func (n Network) Logits(scope *model.Scope, x *graph.Node) *graph.Node {
	scope = scope.In("model")
	if n.Kind == CNN {
		x = n.convolve(scope, x)
		x = n.hide(scope.In("hidden"), x)
	} else {
		x = n.hide(scope.In("hidden_1"), x)
		x = n.hide(scope.In("hidden_2"), x)
	}
	return layers.Dense(scope.In("output"), x, true, classes)
}

// hide is a hidden layer with ReLU and dropout.
func (n Network) hide(layer *model.Scope, x *graph.Node) *graph.Node {
	return layers.DropoutStatic(layer, activation.Relu(layers.Dense(layer, x, true, n.Hidden)), n.Dropout)
}

// convolve turns pixels shaped [batch, 64] into features shaped [batch, 256]: two 3×3 convolutions with ReLU, of 32 and
// 64 channels. The second one strides, since with deterministic sums there is no gradient of a maximum pool on a GPU.
func (n Network) convolve(scope *model.Scope, x *graph.Node) *graph.Node {
	batch := x.Shape().Dimensions[0]
	x = graph.Reshape(x, batch, side, side, 1)
	x = activation.Relu(layers.Convolution(scope.In("conv_1"), x).Channels(32).KernelSize(3).PadSame().Done())
	x = activation.Relu(layers.Convolution(scope.In("conv_2"), x).Channels(64).KernelSize(3).PadSame().Strides(2).Done())
	x = graph.MeanPool(x).Window(2).Done()
	return graph.Reshape(x, batch, -1)
}
