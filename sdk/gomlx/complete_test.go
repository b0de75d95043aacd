package gomlx

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/metric"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// names lists the state's variables, in their order.
func (n *network) names() (names []string) {
	for _, e := range n.state.entries() {
		names = append(names, e.name)
	}
	return names
}

// TestStateIsTheSameWhateverAttemptsMadeIt resumes at each step: not only the values are those of training left alone, but
// the whole blob, with the order of the variables, what the steps use, and the loss.
func TestStateIsTheSameWhateverAttemptsMadeIt(t *testing.T) {
	const steps = 6
	want := newNetwork(t, design{}).train(0, steps).state()
	checkpoint := newNetwork(t, design{}).train(0, 1)
	for step := int64(1); step < steps; step++ {
		checkpoint = resume(t, design{}, checkpoint).train(step, step+1)
	}
	if !bytes.Equal(checkpoint.state(), want) {
		t.Error("six attempts of one step make another state than one of six")
	}
}

func TestEveryVariableIsState(t *testing.T) {
	n := newNetwork(t, design{})
	n.train(0, 2)
	if _, err := n.store.CreateVariable("/metrics/mine", tensors.FromScalar(float32(3))); err != nil {
		t.Fatal(err)
	}
	names := n.names()
	for _, want := range []string{"/optimizers/learning_rate", lastStepPath, "/metrics/Moving Average Loss_uuid_0.0/mean", "/metrics/mine", randomPath} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not in the state, which has %q", want, names)
		}
	}
	back := resume(t, design{}, n.save())
	if got := back.names(); !slices.Equal(got, names) {
		t.Errorf("it came back as %q, and was %q", got, names)
	}
	if got := value(back, "/metrics/mine"); !slices.Equal(got, []float32{3}) {
		t.Errorf("a variable beside the metrics came back as %v", got)
	}
}

// A metric that no training step changes is made anew in each evaluation, which may come at any time.
func TestMetricsOfEvaluationsAreNoState(t *testing.T) {
	n := newNetwork(t, design{})
	before := n.train(0, 2)
	if err := n.trainer.ResetTrainMetrics(); err != nil {
		t.Fatal(err)
	}
	metrics, err := n.trainer.EvalStep(mustBatch(t))
	if err != nil || len(metrics) == 0 {
		t.Fatal(metrics, err)
	}
	if !bytes.Equal(n.save().state(), before.state()) {
		t.Error("an evaluation has changed the state")
	}
}

// NewTrainer deletes the learning rate, so that it begins anew.
func TestLearningRateThatWasSetComesBack(t *testing.T) {
	n := newNetwork(t, design{})
	n.train(0, 1)
	if err := n.store.GetVariable(learningRatePath).SetValue(tensors.FromScalar(float32(0.25))); err != nil {
		t.Fatal(err)
	}
	back := resume(t, design{}, n.save())
	back.train(1, 2)
	rate := back.store.GetVariable(learningRatePath)
	if got := value(back, learningRatePath); !slices.Equal(got, []float32{0.25}) || rate.Trainable {
		t.Errorf("it came back as %v, trainable %t", got, rate.Trainable)
	}
}

func TestLossOfTheLastStepIsState(t *testing.T) {
	n := newNetwork(t, design{})
	if !math.IsNaN(n.state.Loss()) {
		t.Errorf("before the first step, the loss is %v", n.state.Loss())
	}
	var last float64
	loop := n.loop(new(attempt), 3)
	loop.After = func(_ int64, loss float64) error {
		last = loss
		return nil
	}
	if err := loop.Train(0); err != nil {
		t.Fatal(err)
	}
	if got := resume(t, design{}, n.save()).state.Loss(); got != last || n.state.Loss() != last {
		t.Errorf("the loss is %v, and after a resume %v; want %v", n.state.Loss(), got, last)
	}
	for _, loss := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0.1, math.MaxFloat64} {
		n.state.loss = &loss
		if got := resume(t, design{}, n.save()).state.Loss(); math.Float64bits(got) != math.Float64bits(loss) {
			t.Errorf("loss %v came back as %v", loss, got)
		}
	}
}

func TestTrainingEndsWhereAfterSays(t *testing.T) {
	run := &attempt{every: 1}
	loop := newNetwork(t, design{}).loop(run, 100)
	loop.After = func(step int64, _ float64) error {
		if step < 5 {
			return nil
		}
		return fmt.Errorf("it is good enough: %w", ErrDone)
	}
	if err := loop.Train(0); err != nil {
		t.Fatal(err)
	}
	if want := []string{"save 1", "save 2", "save 3", "save 4"}; !slices.Equal(run.events, want) || run.step != 5 {
		t.Errorf("it ended at step %d with %q, want step 5 and %q: the last step has the final checkpoint", run.step, run.events, want)
	}
}

// TestLastStepIsLeftToTheFinalCheckpoint: a resume has a step to train, and After to tell.
func TestLastStepIsLeftToTheFinalCheckpoint(t *testing.T) {
	run := &attempt{every: 1, stopAt: 3}
	if err := newNetwork(t, design{}).loop(run, 3).Train(0); err != nil {
		t.Fatal(err)
	}
	if last := run.events[len(run.events)-1]; !strings.HasPrefix(last, "log 3") {
		t.Errorf("the last event is %q", last)
	}
}

func TestGradientsAreAppliedBeforeASave(t *testing.T) {
	const steps = 9
	accumulate := func(n *network) *network {
		if err := n.build().AccumulateGradients(3); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := accumulate(newNetwork(t, design{})).train(0, steps).state()
	for stop := int64(1); stop <= 6; stop++ {
		n, checkpoint := accumulate(newNetwork(t, design{})), memory{}
		run := &attempt{every: 1, stopAt: stop, save: func() error { return n.state.Save(checkpoint) }}
		_ = n.loop(run, steps).Train(0)
		if at := (stop + 2) / 3 * 3; run.step != at {
			t.Fatalf("asked to stop in step %d, it stopped in step %d, want %d", stop, run.step, at)
		}
		if got := accumulate(resume(t, design{}, checkpoint)).train(run.step, steps).state(); !bytes.Equal(got, want) {
			t.Errorf("stopped in step %d, training ends in another state", run.step)
		}
	}
	n := accumulate(newNetwork(t, design{}))
	if _, err := n.trainer.TrainStep(mustBatch(t)); err != nil {
		t.Fatal(err)
	}
	if err := n.state.Save(memory{}); err == nil || !strings.Contains(err.Error(), "train with Loop") {
		t.Errorf("in a loop of one's own, between applications: %v", err)
	}
}

func TestWhatAResumeWouldNotFindIsNotSaved(t *testing.T) {
	for want, spoil := range map[string]func(*network){
		"has no value yet": func(n *network) {
			n.store.VariableWithValue("/empty", float32(1))
			if err := n.store.GetVariable("/empty").Reset(); err != nil {
				t.Fatal(err)
			}
		},
		"which a checkpoint cannot hold": func(n *network) { n.store.VariableWithValue("/z", complex64(1)) },
		"has become trainable=false":     func(n *network) { n.store.GetVariable("/output/dense/biases").SetTrainable(false) },
	} {
		n := newNetwork(t, design{})
		n.train(0, 2)
		spoil(n)
		if err := n.state.Save(memory{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestFirstStepBeginsWithWhatWasLoaded: what an attempt does to a checkpoint while it sets up is no part of the run.
func TestFirstStepBeginsWithWhatWasLoaded(t *testing.T) {
	checkpoint := newNetwork(t, design{}).train(0, 2)
	const path = "/output/dense/biases"
	for name, test := range map[string]struct {
		change func(*network) error
		want   string // nothing: it is no change
	}{
		"another value": {func(n *network) error {
			return n.store.GetVariable(path).SetValue(tensors.FromValue([]float32{1, 2, 3}))
		}, path + " was loaded from the checkpoint and changed"},
		"the same value": {func(n *network) error {
			return n.store.GetVariable(path).SetValuePreservingOld(tensors.FromValue(value(n, path)))
		}, ""},
		"the learning rate": {func(n *network) error {
			return n.store.GetVariable(learningRatePath).SetValue(tensors.FromScalar(float32(1)))
		}, learningRatePath + " was loaded"},
		"deleted":               {func(n *network) error { return n.store.DeleteVariablesInScope("/AdamOptimizer") }, "/AdamOptimizer/deep/dense/biases_1st_moment was loaded from the checkpoint and deleted"},
		"deleted and made anew": {func(n *network) error { return n.store.DeleteVariable(path) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, by := range []string{"Loop", "TrainStep"} {
				n := resume(t, design{}, checkpoint)
				trainer := n.build()
				if err := test.change(n); err != nil {
					t.Fatal(err)
				}
				var err error
				if by == "Loop" {
					err = n.loop(new(attempt), 3).Train(2)
				} else {
					_, err = trainer.TrainStep(mustBatch(t))
				}
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("%s: got %v, want an error with %q", by, err, test.want)
				}
			}
		})
	}
}

// TestOldStateIsLoaded goes on from a state as commit 3bd0e1d saved it behind step 4, with the learning rate and the metrics
// beginning anew.
func TestOldStateIsLoaded(t *testing.T) {
	old, err := os.ReadFile("testdata/3bd0e1d.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	left := newNetwork(t, design{})
	left.train(0, 8)
	n := resume(t, design{}, memory{blobName: bytes.NewBuffer(old)})
	n.train(4, 8)
	for _, path := range []string{"/wide/dense/weights", "/output/dense/biases", "/AdamOptimizer/deep/dense/weights_2nd_moment", learningRatePath} {
		if !slices.Equal(value(n, path), value(left, path)) {
			t.Errorf("%s is another one than that of training left alone", path)
		}
	}
	other := resume(t, design{layers: []string{"wide", "deep", "third"}}, memory{blobName: bytes.NewBuffer(old)})
	if err := other.loop(new(attempt), 8).Train(4); err == nil || !strings.Contains(err.Error(), "/third/dense/weights") {
		t.Errorf("with another model: %v", err)
	}
}

// TestStepsOfSeveralModelsGoOn trains two models in turn, of which a resume may build either first, or only one.
func TestStepsOfSeveralModelsGoOn(t *testing.T) {
	both := func(from memory) (*network, [2]*train.Trainer) {
		n := newNetwork(t, design{noDropout: true})
		if from != nil {
			if err := n.state.Load(from); err != nil {
				t.Fatal(err)
			}
		}
		var trainers [2]*train.Trainer
		for i, name := range []string{"generator", "judge"} {
			trainers[i] = train.NewTrainer(n.backend, n.store, func(scope *model.Scope, x *graph.Node) *graph.Node { return n.logits(scope.In("%s", name), x) },
				loss.SparseCategoricalCrossEntropyLogits, n.state.Watch(&inScope{n.optimizer, "/" + name}), nil, nil)
		}
		return n, trainers
	}
	step := func(trainer *train.Trainer, step int64) {
		b, _ := batch(step)
		if _, err := trainer.TrainStep(b); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(s int64) int { return int(s / 2 % 2) } // two steps each
	left, trainers := both(nil)
	for s := range int64(12) {
		step(trainers[turn(s)], s)
	}
	want := left.save().state()
	for stop := int64(4); stop < 12; stop++ {
		first, trainers := both(nil)
		for s := range stop {
			step(trainers[turn(s)], s)
		}
		second, trainers := both(first.save())
		for s := stop; s < 12; s++ {
			step(trainers[turn(s)], s)
		}
		if !bytes.Equal(second.save().state(), want) {
			t.Errorf("stopped at step %d, training ends in another state", stop)
		}
	}
}

// inScope lets an optimizer train the variables of one scope only.
type inScope struct {
	optimizer.Interface
	path string
}

func (o *inScope) UpdateGraph(scope *model.Scope, g *graph.Graph, loss *graph.Node) {
	o.Interface.UpdateGraph(scope.Store().Scope(o.path), g, loss)
}

// values is a Loader of the experiment's own.
type values map[string]*tensors.Tensor

func (v values) LoadVariable(_ *model.Store, path string) (*tensors.Tensor, bool) {
	value, ok := v[path]
	return value, ok
}

func (v values) DeleteVariable(_ *model.Store, path string) error {
	if v[path] == nil {
		return errors.New("no such value")
	}
	delete(v, path)
	return nil
}

func TestLoaderOfTheStoreIsAsked(t *testing.T) {
	mine := values{"/a": tensors.FromScalar(int32(1)), "/b": tensors.FromScalar(int32(2))}
	store := model.NewStore()
	store.SetLoader(mine)
	if _, err := NewState(newNetwork(t, design{}).backend, store, 1); err != nil {
		t.Fatal(err)
	}
	if err := store.DeleteVariable("/b"); err != nil {
		t.Fatal(err)
	}
	if a := store.GetVariable("/a"); a == nil || tensors.ToScalar[int32](a.MustValue()) != 1 || store.GetVariable("/b") != nil {
		t.Errorf("/a is %v, /b is %v", a, store.GetVariable("/b"))
	}
	if err := store.DeleteVariable("/c"); err == nil {
		t.Error("the error of the store's loader is lost")
	}
}

func TestSeveralStoresAreKept(t *testing.T) {
	teacher := func() *network {
		n := newNetwork(t, design{noDropout: true})
		n.state.Named("teacher")
		return n
	}
	first, second, saved := newNetwork(t, design{}), teacher(), memory{}
	first.train(0, 2)
	if _, err := second.store.CreateVariable("/average", tensors.FromScalar(float32(2))); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*network{first, second} {
		if err := n.state.Save(saved); err != nil {
			t.Fatal(err)
		}
	}
	resume(t, design{}, saved)
	back := teacher()
	if err := back.state.Load(saved); err != nil {
		t.Fatal(err)
	}
	if _, err := back.store.CreateVariable("/late", tensors.FromScalar(float32(1))); err != nil {
		t.Fatal(err)
	}
	if got := value(back, "/average"); !slices.Equal(got, []float32{2}) || back.state.Save(memory{}) != nil {
		t.Errorf("the other store came back with %v, or cannot be saved: %v", got, back.state.Save(memory{}))
	}
}

// A metric that an evaluation has made first has no name that another process could know.
func TestMetricThatAnEvaluationMadeIsNotTrainedOn(t *testing.T) {
	n := newNetwork(t, design{})
	shared := metric.NewMeanMetric("mean", "mean", "value", func(_ *model.Scope, _, predictions []*graph.Node) *graph.Node {
		return graph.ReduceAllMean(predictions[0])
	}, nil)
	n.trainer = train.NewTrainer(n.backend, n.store, n.logits, loss.SparseCategoricalCrossEntropyLogits,
		n.state.Watch(n.optimizer), []metric.Interface{shared}, []metric.Interface{shared})
	if _, err := n.trainer.EvalStep(mustBatch(t)); err != nil {
		t.Fatal(err)
	}
	if err := n.loop(new(attempt), 2).Train(0); err == nil || !strings.Contains(err.Error(), "a metric of its own") {
		t.Errorf("got %v", err)
	}
}

func TestStepThatAfterFailsInWasMade(t *testing.T) {
	run := new(attempt)
	loop := newNetwork(t, design{}).loop(run, 5)
	broken := errors.New("broken")
	loop.After = func(step int64, _ float64) error {
		if step == 3 {
			return broken
		}
		return nil
	}
	if err := loop.Train(0); !errors.Is(err, broken) || run.step != 3 {
		t.Errorf("it ended at step %d with %v", run.step, err)
	}
}

// TestHyperparametersThatChangeAreState lets After change how the next graph is built.
func TestHyperparametersThatChangeAreState(t *testing.T) {
	const rate, steps, at = "/rate", 8, 4
	made := func(setUp func(*network)) *network {
		n := newNetwork(t, design{noDropout: true})
		n.layers = nil
		n.store.SetParam(rate, 0.5)
		n.trainer = train.NewTrainer(n.backend, n.store, func(scope *model.Scope, x *graph.Node) *graph.Node {
			scope.SetParam("built", true) // as layers do
			return n.logits(scope, layers.DropoutStatic(scope, x, model.GetParamOr(scope, "rate", 0.0)))
		}, loss.SparseCategoricalCrossEntropyLogits, n.state.Watch(n.optimizer), nil, nil)
		setUp(n)
		return n
	}
	train := func(n *network, from, to int64) memory {
		loop := n.loop(new(attempt), to)
		loop.After = func(step int64, _ float64) error {
			if step == at {
				n.store.SetParam(rate, 0.1)
				n.store.SetParam("/note", []string{"lower"})
				n.trainer.ResetComputationGraphs()
			}
			return nil
		}
		if err := loop.Train(from); err != nil {
			t.Fatal(err)
		}
		return n.save()
	}
	fresh := func(*network) {}
	want := train(made(fresh), 0, steps).state()
	for stop := int64(1); stop < steps; stop++ {
		checkpoint := train(made(fresh), 0, stop)
		for name, setUp := range map[string]func(*network){
			"before": func(n *network) {
				if err := n.state.Load(checkpoint); err != nil {
					t.Fatal(err)
				}
			},
			"behind": func(n *network) {
				if err := n.state.Load(checkpoint); err != nil {
					t.Fatal(err)
				}
				n.store.SetParam(rate, 0.5)
			},
		} {
			if got := train(made(setUp), stop, steps).state(); !bytes.Equal(got, want) {
				t.Errorf("stopped in step %d, and with hyperparameters set %s the resume, training ends in another state", stop, name)
			}
		}
	}
	late := train(made(fresh), 0, steps)
	n := made(func(n *network) {
		if err := n.state.Load(late); err != nil {
			t.Fatal(err)
		}
		n.store.SetParam(rate, 0.5)
	})
	if _, err := n.trainer.TrainStep(mustBatch(t)); err == nil || !strings.Contains(err.Error(), "hyperparameter /rate was 0.1 in the checkpoint") {
		t.Errorf("in a loop of one's own: %v", err)
	}
	n = made(fresh)
	train(n, 0, 2)
	n.store.SetParam("/log", new(bytes.Buffer))
	if err := n.state.Save(memory{}); err == nil || !strings.Contains(err.Error(), "a *bytes.Buffer cannot be saved") {
		t.Errorf("a hyperparameter without a value that can be kept: %v", err)
	}
}
