package gomlx

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

func TestResumedTrainingIsBitForBitTheSame(t *testing.T) {
	for name, d := range map[string]design{
		"Adam with dropout":    {},
		"Adam without dropout": {noDropout: true},
		"clipped by norm":      {optimizer: clipped{}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, half := range []int64{1, 2, 7, 20} {
				want := newNetwork(t, d).train(0, 2*half).state()
				checkpoint := newNetwork(t, d).train(0, half)
				if bytes.Equal(checkpoint.state(), want) {
					t.Fatal("training changes nothing, so the comparison shows nothing")
				}
				if got := resume(t, d, checkpoint).train(half, 2*half).state(); !bytes.Equal(got, want) {
					t.Errorf("%d steps and %d more after a resume end in another state than %d steps", half, half, 2*half)
				}
			}
		})
	}
}

// clipped is gradient descent on gradients scaled to a norm of at most 1: a sum over all variables, which depends on
// their order in its last bits.
type clipped struct{}

func (clipped) UpdateGraph(scope *model.Scope, g *graph.Graph, loss *graph.Node) {
	norm := graph.ScalarZero(g, loss.DType())
	var trained []*model.Variable
	for variable := range scope.IterVariables() {
		if variable.Trainable && variable.InUseByGraph(g) {
			trained = append(trained, variable)
		}
	}
	gradients := scope.BuildTrainableVariablesGradientsGraph(loss)
	for _, gradient := range gradients {
		norm = graph.Add(norm, graph.ReduceAllSum(graph.Square(gradient)))
	}
	scale := graph.Div(graph.ScalarOne(g, loss.DType()), graph.MaxScalar(graph.Sqrt(norm), 1))
	for i, variable := range trained {
		variable.SetNodeValue(graph.Sub(variable.NodeValue(g), graph.Mul(gradients[i], scale)))
	}
}

func (clipped) Clear(*model.Scope) error { return nil }

var _ optimizer.Interface = clipped{}

func TestStateSavedTwiceIsTheSame(t *testing.T) {
	n := newNetwork(t, design{})
	once := n.train(0, 2)
	if !bytes.Equal(n.save().state(), once.state()) {
		t.Error("the state changed without a step")
	}
	if !bytes.Equal(resume(t, design{}, once).save().state(), once.state()) {
		t.Error("the state that was loaded is not the one that was saved")
	}
}

// TestTrainableFlagsComeBack guards against a trap: GoMLX makes each variable that comes with a value trainable, also
// the state of the random numbers, which the optimizer then trains.
func TestTrainableFlagsComeBack(t *testing.T) {
	flags := func(n *network) (flags []string) {
		for _, e := range n.state.entries() {
			flags = append(flags, fmt.Sprintf("%s %v", e.name, n.state.describe(e).Trainable))
		}
		return flags
	}
	const frozen = "/output/dense/biases"
	trained := newNetwork(t, design{})
	variable, err := trained.store.CreateVariable(frozen, tensors.FromValue([]float32{1, 2, 3}))
	if err != nil {
		t.Fatal(err)
	}
	variable.SetTrainable(false)
	checkpoint := trained.train(0, 1)
	want := flags(trained)
	if !slices.Contains(want, randomPath+" false") || !slices.Contains(want, frozen+" false") || !slices.Contains(want, "/wide/dense/weights true") {
		t.Fatalf("the flags are %q, so the comparison shows nothing", want)
	}
	resumed := resume(t, design{}, checkpoint)
	if got := flags(resumed); !slices.Equal(got, want) {
		t.Errorf("the flags, in the order in which the variables were made, are\n%q, and were\n%q", got, want)
	}
	resumed.train(1, 3)
	if got := value(resumed, frozen); !slices.Equal(got, []float32{1, 2, 3}) {
		t.Errorf("a variable that is frozen was trained after the resume, to %v", got)
	}
}

func value(n *network, path string) []float32 {
	return tensors.MustCopyFlatData[float32](n.store.GetVariable(path).MustValue())
}

func TestStateOfAnotherModelIsRefused(t *testing.T) {
	checkpoint := newNetwork(t, design{}).train(0, 2)
	for name, test := range map[string]struct {
		design design
		want   []string
	}{
		"a missing layer": {design{layers: []string{"wide", "deep", "third"}}, []string{"has no", "/third/dense/biases, /third/dense/weights"}},
		"an extra layer":  {design{layers: []string{"wide"}}, []string{"does not use", "/deep/dense/biases, /deep/dense/weights"}},
		"both":            {design{layers: []string{"wide", "long"}}, []string{"has no", "/long/dense/weights", "does not use", "/deep/dense/weights"}},
		"another shape":   {design{hidden: 17}, []string{"/wide/dense/weights", "[5, 16]", "[5, 17]"}},
	} {
		t.Run(name, func(t *testing.T) {
			run := &attempt{every: 1}
			err := resume(t, test.design, checkpoint).loop(run, 4).Train(2)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want one with %q", err, want)
				}
			}
			if len(run.events) > 0 {
				t.Errorf("before the error the loop did %q", run.events)
			}
		})
	}
}

// TestStateOfAnotherModelIsNotSavedAgain resumes at the last step, where no step is left that could find the difference.
func TestStateOfAnotherModelIsNotSavedAgain(t *testing.T) {
	n := resume(t, design{layers: []string{"wide", "deep", "third"}}, newNetwork(t, design{}).train(0, 2))
	evaluation, err := model.NewExec(n.backend, n.store, func(scope *model.Scope, x *graph.Node) *graph.Node { return n.logits(scope, x) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evaluation.Exec(tensors.FromShape(mustBatch(t).Inputs[0].Shape())); err != nil {
		t.Fatal(err)
	}
	if err := n.state.Save(memory{}); err == nil || !strings.Contains(err.Error(), "/third/dense/weights") {
		t.Errorf("got %v, want an error that names the variable", err)
	}
}

func TestLoadAfterTheFirstGraphIsAnError(t *testing.T) {
	n := newNetwork(t, design{})
	checkpoint := n.train(0, 1)
	if err := n.state.Load(checkpoint); err == nil || !strings.Contains(err.Error(), "before anything is built") {
		t.Errorf("got %v, want an error that says when to load", err)
	}
	if _, err := NewState(n.backend, n.store, 1); err == nil {
		t.Error("a store that is in use got a state")
	}
}

func TestDamagedStateIsRefused(t *testing.T) {
	whole := newNetwork(t, design{}).train(0, 1).state()
	for name, content := range map[string][]byte{
		"cut":                  whole[:len(whole)-1],
		"trailing":             append(bytes.Clone(whole), 0),
		"empty":                nil,
		"other":                []byte("not safetensors at all"),
		"unlisted":             blob(t, `[]`, randomTensor),
		"no list":              blob(t, `{}`, randomTensor),
		"twice":                blob(t, `[{"path":"/#rngState"},{"path":"/#rngState"}]`, randomTensor),
		"no value":             blob(t, `[{"path":"/#rngState"},{"path":"/a"}]`, randomTensor),
		"relative":             blob(t, `[{"path":"/#rngState"},{"path":"a"}]`, randomTensor, safetensors.Tensor{Name: "a", DType: "F32"}),
		"no random state":      blob(t, `[{"path":"/a"}]`, safetensors.Tensor{Name: "/a", DType: "F32"}),
		"no such loss":         described(t, metadataLoss, "low"),
		"no hyperparameters":   described(t, metadataParams, `{}`),
		"an odd one":           described(t, metadataParams, `[{"path":"/a","type":"chan int","value":"1"}]`),
		"another type":         described(t, metadataParams, `[{"path":"/a","type":"int","value":"1.5"}]`),
		"another format":       described(t, metadataFormat, "mtt-gomlx/3"),
		"another random state": blob(t, `[{"path":"/#rngState"}]`, safetensors.Tensor{Name: "/#rngState", DType: "F32"}),
	} {
		if err := newNetwork(t, design{}).state.Load(memory{blobName: bytes.NewBuffer(content)}); err == nil {
			t.Errorf("%s: it was loaded", name)
		}
	}
	if err := newNetwork(t, design{}).state.Load(memory{}); err == nil || !strings.Contains(err.Error(), blobName) {
		t.Errorf("without a blob: %v", err)
	}
	// The same makers make what is loaded, or the cases above show nothing.
	for _, whole := range [][]byte{
		blob(t, `[{"path":"/#rngState"}]`, randomTensor),
		described(t, metadataLoss, "NaN"),
		described(t, metadataParams, `[{"path":"/a","type":"float64","value":"\"Infinity\""}]`),
	} {
		if err := newNetwork(t, design{}).state.Load(memory{blobName: bytes.NewBuffer(whole)}); err != nil {
			t.Error(err)
		}
	}
}

var randomTensor = safetensors.Tensor{Name: "/#rngState", DType: "U64", Shape: []int64{3}}

// blob is a state of zeros.
func blob(t *testing.T, list string, described ...safetensors.Tensor) []byte {
	t.Helper()
	return zeros(t, map[string]string{metadataFormat: formatName, metadataVariables: list}, described...)
}

// described is a state that says one thing more.
func described(t *testing.T, key, value string) []byte {
	t.Helper()
	metadata := map[string]string{metadataFormat: formatName, metadataVariables: `[{"path":"/#rngState"}]`}
	metadata[key] = value
	return zeros(t, metadata, randomTensor)
}

func zeros(t *testing.T, metadata map[string]string, described ...safetensors.Tensor) []byte {
	t.Helper()
	slices.SortFunc(described, func(a, b safetensors.Tensor) int { return strings.Compare(a.Name, b.Name) })
	content, err := safetensors.EncodeHeader(described, metadata)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range described {
		size, err := tensor.Size()
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, make([]byte, size)...)
	}
	return content
}

func TestSaveAndLoadMakeNoSecondCopyOfTheModel(t *testing.T) {
	big := design{hidden: 1200} // 17 MiB with Adam's moments
	n := newNetwork(t, big)
	checkpoint := n.train(0, 1)
	size := uint64(len(checkpoint.state()))
	if size < 16<<20 {
		t.Fatalf("the state has only %d bytes", size)
	}
	if allocated := allocatedBy(func() {
		if err := n.state.Save(discard{}); err != nil {
			t.Fatal(err)
		}
	}); allocated > size/20 {
		t.Errorf("saving %d bytes allocated %d", size, allocated)
	}
	resumed := newNetwork(t, big)
	if allocated := allocatedBy(func() {
		if err := resumed.state.Load(checkpoint); err != nil {
			t.Fatal(err)
		}
	}); allocated > size+size/4 {
		t.Errorf("loading %d bytes allocated %d: much more than the variables themselves", size, allocated)
	}
}

func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// discard is a checkpoint that is thrown away.
type discard struct{}

func (discard) Create(string) (io.Writer, error) { return io.Discard, nil }

var _ sdk.CheckpointWriter = discard{}

// TestPythonReadsTheState checks the format by a reader that we did not write, where it is installed.
func TestPythonReadsTheState(t *testing.T) {
	if exec.Command("python3", "-c", "import safetensors, numpy").Run() != nil {
		t.Skip("SKIPPED: Python's safetensors and numpy are not installed")
	}
	n := newNetwork(t, design{})
	checkpoint := n.train(0, 1)
	command := exec.Command("python3", "-c", "import sys, safetensors.numpy as s; print(s.load(sys.stdin.buffer.read())['/output/dense/biases'].tolist())")
	command.Stdin = checkpoint[blobName]
	out, err := command.CombinedOutput()
	var want []string
	for _, v := range value(n, "/output/dense/biases") {
		want = append(want, fmt.Sprint(float64(v)))
	}
	if got := strings.TrimSpace(string(out)); err != nil || got != "["+strings.Join(want, ", ")+"]" {
		t.Errorf("Python reads %s (%v), want %v", got, err, want)
	}
}
