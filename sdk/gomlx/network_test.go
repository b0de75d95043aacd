package gomlx

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
)

// memory is a checkpoint in memory.
type memory map[string]*bytes.Buffer

func (m memory) Create(name string) (io.Writer, error) {
	m[name] = new(bytes.Buffer)
	return m[name], nil
}

func (m memory) Open(name string) (io.ReadCloser, error) {
	if m[name] == nil {
		return nil, errors.New("no such blob")
	}
	return io.NopCloser(bytes.NewReader(m[name].Bytes())), nil
}

func (m memory) Step() int64 { return 0 }

func (m memory) Blobs() (blobs []sdk.Blob) {
	for name, content := range m {
		blobs = append(blobs, sdk.Blob{Name: name, Size: int64(content.Len())})
	}
	return blobs
}

// design is what the networks of the tests differ in. Its zero value is a perceptron of two hidden layers with dropout.
type design struct {
	layers    []string // names of the hidden layers; nil: two of them, made in another order than that of their names
	hidden    int      // units of a hidden layer; 0: 16
	noDropout bool
	optimizer optimizer.Interface // nil: Adam
}

const (
	inputs   = 5
	examples = 8
	classes  = 3
)

// network is a network on its way.
type network struct {
	testing.TB
	design
	backend compute.Backend
	store   *model.Store
	state   *State
	trainer *train.Trainer // nil before build
}

func newNetwork(t testing.TB, d design) *network {
	t.Helper()
	if d.layers == nil {
		d.layers = []string{"wide", "deep"}
	}
	if d.hidden == 0 {
		d.hidden = 16
	}
	if d.optimizer == nil {
		d.optimizer = optimizer.Adam().LearningRate(0.01).Done()
	}
	backend, err := Backend("go")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{TB: t, design: d, backend: backend, store: model.NewStore()}
	if n.state, err = NewState(backend, n.store, 3); err != nil {
		t.Fatal(err)
	}
	return n
}

// resume is a new network that goes on from a checkpoint.
func resume(t testing.TB, d design, from memory) *network {
	t.Helper()
	n := newNetwork(t, d)
	if err := n.state.Load(from); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *network) logits(scope *model.Scope, x *graph.Node) *graph.Node {
	for _, name := range n.layers {
		layer := scope.In("%s", name)
		x = activation.Relu(layers.Dense(layer, x, true, n.hidden))
		if !n.noDropout {
			x = layers.DropoutStatic(layer, x, 0.3)
		}
	}
	return layers.Dense(scope.In("output"), x, true, classes)
}

func (n *network) build() *train.Trainer {
	if n.trainer == nil {
		n.trainer = train.NewTrainer(n.backend, n.store, n.logits,
			loss.SparseCategoricalCrossEntropyLogits, n.state.Watch(n.optimizer), nil, nil)
	}
	return n.trainer
}

// batch depends on nothing but the step.
func batch(step int64) (train.Batch, error) {
	random := rand.New(rand.NewPCG(7, uint64(step)))
	x, y := make([]float32, examples*inputs), make([]int32, examples)
	for i := range x {
		x[i] = random.Float32()
	}
	for i := range y {
		y[i] = random.Int32N(classes)
	}
	return train.Batch{
		Inputs: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(x, examples, inputs)},
		Labels: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(y, examples, 1)},
	}, nil
}

// train goes through the steps after from up to to, and saves.
func (n *network) train(from, to int64) memory {
	n.Helper()
	loop := Loop{Run: &attempt{}, State: n.state, Trainer: n.build(), Steps: to, Batch: batch}
	if err := loop.Train(from); err != nil {
		n.Fatal(err)
	}
	return n.save()
}

func (n *network) save() memory {
	n.Helper()
	saved := memory{}
	if err := n.state.Save(saved); err != nil {
		n.Fatal(err)
	}
	return saved
}

func (m memory) state() []byte { return m[blobName].Bytes() }

func mustBatch(t testing.TB) train.Batch {
	t.Helper()
	b, err := batch(1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
