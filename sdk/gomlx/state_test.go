package gomlx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
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

func (m memory) Step() int64       { return 0 }
func (m memory) Blobs() (blobs []sdk.Blob) {
	for name, content := range m {
		blobs = append(blobs, sdk.Blob{Name: name, Size: int64(content.Len())})
	}
	return blobs
}

// bed is a small network with dropout and Adam, on its way.
type bed struct {
	t       testing.TB
	backend compute.Backend
	state   *State
	store   *model.Store
	trainer *train.Trainer
	hidden  int
	depth   int
}

func newBed(t testing.TB, seed int64, hidden, depth int) *bed {
	t.Helper()
	backend, err := Backend("go")
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, backend: backend, store: model.NewStore(), hidden: hidden, depth: depth}
	if b.state, err = NewState(backend, b.store, seed); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) build() *bed {
	b.trainer = train.NewTrainer(b.backend, b.store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		for i := range b.depth {
			layer := scope.In("layer_%d", i)
			x = layers.DropoutStatic(layer, activation.Relu(layers.Dense(layer, x, true, b.hidden)), 0.3)
		}
		return layers.Dense(scope.In("output"), x, true, 3)
	}, loss.SparseCategoricalCrossEntropyLogits, b.state.Watch(optimizer.Adam().LearningRate(0.01).Done()), nil, nil)
	return b
}

// step trains one step on data that depends on nothing but the step.
func (b *bed) step(step int) {
	b.t.Helper()
	random := rand.New(rand.NewPCG(7, uint64(step)))
	x, y := make([]float32, 8*5), make([]int32, 8)
	for i := range x {
		x[i] = random.Float32()
	}
	for i := range y {
		y[i] = random.Int32N(3)
	}
	metrics, err := b.trainer.TrainStep(train.Batch{
		Inputs: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(x, 8, 5)},
		Labels: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(y, 8, 1)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, metric := range metrics {
		_ = metric.FinalizeAll()
	}
}

func (b *bed) save() memory {
	b.t.Helper()
	saved := memory{}
	if err := b.state.Save(saved); err != nil {
		b.t.Fatal(err)
	}
	return saved
}

// trained is the state after n steps of a network left alone.
func trained(t testing.TB, n int) memory {
	t.Helper()
	b := newBed(t, 3, 16, 2).build()
	for step := range n {
		b.step(step)
	}
	return b.save()
}

func TestResumedTrainingIsBitForBitTheSame(t *testing.T) {
	const steps = 24
	want := trained(t, steps)[blobName].Bytes()
	for _, stop := range []int{1, 2, 11, 23, 24} {
		resumed := newBed(t, 3, 16, 2)
		if err := resumed.state.Load(trained(t, stop)); err != nil {
			t.Fatal(err)
		}
		resumed.build()
		for step := stop; step < steps; step++ {
			resumed.step(step)
		}
		if stop < steps {
			if err := resumed.state.check(); err != nil {
				t.Error(err)
			}
		}
		if !bytes.Equal(resumed.save()[blobName].Bytes(), want) {
			t.Errorf("resumed at step %d of %d, the state is another one", stop, steps)
		}
	}
	if bytes.Equal(trained(t, steps-1)[blobName].Bytes(), want) {
		t.Error("a step changes nothing, so the comparison shows nothing")
	}
}

func TestTrainableFlagsComeBack(t *testing.T) {
	b := newBed(t, 3, 16, 2)
	if err := b.state.Load(trained(t, 2)); err != nil {
		t.Fatal(err)
	}
	if b.store.GetVariable("/" + model.RNGStateVariableName).Trainable {
		t.Error("the random state is trainable, so that the optimizer would train it")
	}
	trainable := 0
	for variable := range b.store.IterVariables() {
		if variable.Trainable {
			trainable++
		}
	}
	if trainable != 6 { // weights and biases of three layers
		t.Errorf("%d variables are trainable, want 6", trainable)
	}
}

func TestStateOfAnotherModelIsRefused(t *testing.T) {
	saved := trained(t, 2)
	deeper := newBed(t, 3, 16, 3)
	if err := deeper.state.Load(saved); err != nil {
		t.Fatal(err)
	}
	deeper.build().step(0)
	if err := deeper.state.check(); err == nil || !strings.Contains(err.Error(), "has no") || !strings.Contains(err.Error(), "layer_2") {
		t.Errorf("a missing layer: %v", err)
	}
	shallower := newBed(t, 3, 16, 1)
	if err := shallower.state.Load(trained(t, 2)); err != nil {
		t.Fatal(err)
	}
	var check error
	if err := shallower.tryStep(); err != nil {
		check = err // of a shape, since the output layer's input is the same here, this is not expected
	} else {
		check = shallower.state.check()
	}
	if check == nil || !strings.Contains(check.Error(), "does not use") || !strings.Contains(check.Error(), "layer_1") {
		t.Errorf("an extra layer: %v", check)
	}
	wider := newBed(t, 3, 17, 2)
	if err := wider.state.Load(trained(t, 2)); err != nil {
		t.Fatal(err)
	}
	if err := wider.tryStep(); err == nil || !strings.Contains(err.Error(), "layer_0") {
		t.Errorf("another shape: %v", err)
	}
}

func (b *bed) tryStep() error {
	b.build()
	_, err := b.trainer.TrainStep(train.Batch{
		Inputs: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(make([]float32, 40), 8, 5)},
		Labels: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(make([]int32, 8), 8, 1)},
	})
	return err
}

func TestLoadAfterTheFirstGraphIsAnError(t *testing.T) {
	b := newBed(t, 3, 16, 2).build()
	b.step(0)
	if err := b.state.Load(trained(t, 1)); err == nil || !strings.Contains(err.Error(), "before anything is built") {
		t.Errorf("got %v", err)
	}
	unwatched := newBed(t, 3, 16, 2)
	if err := unwatched.state.check(); err == nil || !strings.Contains(err.Error(), "Watch") {
		t.Errorf("an optimizer that is not watched: %v", err)
	}
	if _, err := NewState(b.backend, b.store, 1); err == nil {
		t.Error("a store that is in use got a state")
	}
}

func TestDamagedStateIsRefused(t *testing.T) {
	whole := trained(t, 1)[blobName].Bytes()
	for name, content := range map[string][]byte{
		"cut":      whole[:len(whole)-1],
		"trailing": append(bytes.Clone(whole), 0),
		"empty":    nil,
		"other":    []byte("not safetensors at all"),
	} {
		b := newBed(t, 3, 16, 2)
		if err := b.state.Load(memory{blobName: bytes.NewBuffer(content)}); err == nil {
			t.Errorf("%s: it was loaded", name)
		}
	}
}

func TestSaveMakesNoSecondCopyOfTheModel(t *testing.T) {
	b := newBed(t, 3, 1200, 2).build()
	b.step(0)
	var size counter
	if err := b.state.Save(&size); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := b.state.Save(new(counter)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(size)/20 {
		t.Errorf("saving %d bytes allocated %d", size, allocated)
	}
}

// counter is a checkpoint that counts its bytes.
type counter int64

func (c *counter) Create(string) (io.Writer, error) { return c, nil }

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func TestOrderIsAFunctionOfSeedAndStepAlone(t *testing.T) {
	forwards := Order{Seed: 5, Size: 23, Batch: 4}
	want := map[int64][]int{}
	for step := int64(1); step <= 30; step++ {
		want[step] = append([]int{}, forwards.At(step)...)
	}
	backwards := Order{Seed: 5, Size: 23, Batch: 4}
	for step := int64(30); step >= 1; step-- {
		if got := backwards.At(step); !equal(got, want[step]) {
			t.Errorf("step %d is %v, and was %v", step, got, want[step])
		}
	}
	for epoch := range int64(6) {
		seen := map[int]bool{}
		for step := epoch*5 + 1; step <= epoch*5+5; step++ {
			for _, i := range want[step] {
				if i < 0 || i >= 23 || seen[i] {
					t.Errorf("epoch %d has example %d twice or out of range", epoch, i)
				}
				seen[i] = true
			}
			if forwards.EpochEnds(step) != (step == epoch*5+5) {
				t.Errorf("whether the epoch ends at step %d is wrong", step)
			}
		}
	}
	// Whatever changes these changes every resumed run.
	for step, golden := range map[int64][]int{1: {22, 9, 19, 6}, 6: {18, 3, 7, 9}} {
		if !equal(want[step], golden) {
			t.Errorf("step %d is %v, and must stay %v", step, want[step], golden)
		}
	}
	other := Order{Seed: 6, Size: 23, Batch: 4}
	if equal(other.At(1), want[1]) {
		t.Error("another seed gives the same order")
	}
}

func equal(a, b []int) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func TestDeviceThatIsNotInTheBuildIsNamed(t *testing.T) {
	for _, device := range []string{"cuda", "cpu", ""} {
		if _, err := Backend(device); err == nil || !strings.Contains(err.Error(), `"go"`) {
			t.Errorf("device %q: %v", device, err)
		}
	}
}

// TestPythonReadsTheState checks the format by a reader that we did not write, where it is installed.
func TestPythonReadsTheState(t *testing.T) {
	if exec.Command("python3", "-c", "import safetensors, numpy").Run() != nil {
		t.Skip("SKIPPED: Python's safetensors and numpy are not installed")
	}
	command := exec.Command("python3", "-c", "import sys, safetensors.numpy as s; print(sorted(s.load(sys.stdin.buffer.read())))")
	command.Stdin = trained(t, 1)[blobName]
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "/layer_0/dense/weights") {
		t.Errorf("%v: %s", err, out)
	}
}
