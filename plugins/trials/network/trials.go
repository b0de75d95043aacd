package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/optimizer"
	"github.com/gomlx/gomlx/ml/train/optimizer/cosineschedule"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// trials are the ways to train, by name.
var trials = map[string]func(*network){
	"plain":      func(*network) {},
	"schedule":   schedule,
	"cosine":     cosine,
	"plateau":    plateau,
	"average":    average,
	"early":      func(n *network) { early(n, gomlx.ErrDone) },
	"error":      leaveByError,
	"last loss":  lastLoss,
	"accumulate": accumulate,
	"metrics":    metrics,
	"thaw":       thaw,
	"late":       late,

	"freezes a built graph":        freezes,
	"saves in After":               saves,
	"draws in each attempt":        draws,
	"sets weights in each attempt": setsWeights,
}

// schedule lets the graph lower the learning rate in each step.
func schedule(n *network) {
	n.hidden = func(scope *model.Scope, x *graph.Node) *graph.Node {
		if g := x.Graph(); scope.IsTraining(g) {
			rate := optimizer.LearningRateVar(scope, float, 0.05)
			rate.SetNodeValue(graph.MulScalar(rate.NodeValue(g), 0.97))
		}
		return x
	}
}

func cosine(n *network) {
	n.hidden = func(scope *model.Scope, x *graph.Node) *graph.Node {
		cosineschedule.New(scope, x.Graph(), float).LearningRate(0.05).MinLearningRate(0.001).NumCycles(2).WarmUpSteps(5).Done()
		return x
	}
	n.result = func() (sdk.Result, error) {
		rate := float32Of(n.store.GetVariable(learningRate))
		if rate > 0.005 {
			return nil, fmt.Errorf("the learning rate is %g at the end of a cycle: the schedule does not know the last step", rate)
		}
		return sdk.Result{"loss": n.state.Loss(), "rate": rate}, nil
	}
}

// plateau lowers the learning rate once the loss has not fallen for some steps.
func plateau(n *network) {
	small := struct {
		Best float64
		Bad  int
	}{Best: math.Inf(1)}
	n.small = &small
	n.after = func(step int64, loss float64) error {
		small.Bad++
		if loss < small.Best {
			small.Best, small.Bad = loss, 0
		}
		rate := n.store.GetVariable(learningRate)
		n.run.Metrics.Scalar(step, "learning_rate", float32Of(rate))
		if small.Bad < 4 {
			return nil
		}
		small.Bad = 0
		return rate.SetValue(tensors.FromScalar(float32(0.7 * float32Of(rate))))
	}
}

// average keeps a moving average of the weights with a graph of its own, from some step on.
func average(n *network) {
	update, err := model.NewExec(n.backend, n.store, func(scope *model.Scope, g *graph.Graph) *graph.Node {
		for _, path := range []string{"/first/dense/weights", "/second/dense/weights"} {
			weights := scope.Store().GetVariable(path)
			average := scope.Store().VariableWithValue("/average"+path, tensors.FromShape(weights.Shape()))
			average.SetNodeValue(graph.Add(graph.MulScalar(average.NodeValue(g), 0.9), graph.MulScalar(weights.NodeValue(g), 0.1)))
		}
		return graph.ScalarZero(g, float)
	})
	n.after = func(step int64, _ float64) error {
		if err != nil || step < 13 {
			return err
		}
		_, err := update.Exec()
		return err
	}
	n.result = func() (sdk.Result, error) {
		var sum float64
		tensors.MustConstFlatData(n.store.GetVariable("/average/second/dense/weights").MustValue(), func(flat []float32) {
			for _, x := range flat {
				sum += float64(x)
			}
		})
		return sdk.Result{"sum": sum}, nil
	}
}

// early ends once the loss has not fallen for some steps.
func early(n *network, end error) {
	small := struct {
		Best float64
		Bad  int
		At   int64
	}{Best: math.Inf(1)}
	n.small = &small
	n.config.Steps = 100_000
	n.after = func(step int64, loss float64) error {
		small.Bad++
		if loss < small.Best {
			small.Best, small.Bad = loss, 0
		}
		if small.Bad < 25 {
			return nil
		}
		small.At = step
		return fmt.Errorf("no better loss in %d steps: %w", small.Bad, end)
	}
	n.result = func() (sdk.Result, error) {
		return sdk.Result{"best": small.Best, "at": float64(small.At), "loss": n.state.Loss()}, nil
	}
}

// leaveByError ends early by an error of its own.
func leaveByError(n *network) {
	enough := errors.New("enough")
	early(n, enough)
	n.train = func(trainer *train.Trainer, step int64) error {
		if err := n.loop(trainer, step); !errors.Is(err, enough) {
			return err
		}
		return nil
	}
}

// lastLoss keeps the loss of the last step in a Go variable, as an experiment does that has not read the manual.
func lastLoss(n *network) {
	var last float64
	n.after = func(_ int64, loss float64) error {
		last = loss
		return nil
	}
	n.result = func() (sdk.Result, error) { return sdk.Result{"last": last, "loss": n.state.Loss()}, nil }
}

func accumulate(n *network) {
	n.built = func(trainer *train.Trainer) error { return trainer.AccumulateGradients(4) }
	n.config.Steps += 2 // the last ones are never applied
}

// metrics trains in a loop of its own, and logs GoMLX's metrics, which remember the steps before.
func metrics(n *network) {
	n.train = func(trainer *train.Trainer, step int64) error {
		for step < n.config.Steps {
			step++
			b, err := batch(step)
			if err != nil {
				return err
			}
			values, err := trainer.TrainStep(b)
			if err != nil {
				return err
			}
			for i, m := range trainer.TrainMetrics() {
				n.run.Metrics.Scalar(step, m.Name(), float64(tensors.ToScalar[float32](values[i])))
			}
			n.pause()
			n.run.Progress(step, n.config.Steps)
			if n.run.ShouldSave(step) {
				if err := n.run.Save(step); err != nil {
					return err
				}
			}
			if n.run.Stopped() {
				return sdk.ErrStopped
			}
		}
		return nil
	}
	n.result = func() (sdk.Result, error) {
		return sdk.Result{"global_step": float64(optimizer.GetGlobalStep(n.store))}, nil
	}
}

// thaw trains the first layer only from some step on, with a graph that is built anew.
func thaw(n *network) {
	const at = 20
	var trainer *train.Trainer
	n.built = func(t *train.Trainer) error {
		trainer = t
		return nil
	}
	n.hidden = func(scope *model.Scope, x *graph.Node) *graph.Node { // before the first step, there is no variable to freeze
		if optimizer.GetGlobalStep(n.store) < at {
			n.freeze(true)
		}
		return x
	}
	n.after = func(step int64, _ float64) error {
		if step == at {
			n.freeze(false)
			trainer.ResetComputationGraphs()
		}
		return nil
	}
}

func (n *network) freeze(frozen bool) {
	for _, name := range []string{"weights", "biases"} {
		n.store.GetVariable("/first/dense/" + name).SetTrainable(!frozen)
	}
}

// late makes variables in the middle of training: in Go, with the types and shapes that a model seldom has, and by a graph
// that gives them random values.
func late(n *network) {
	probe, err := model.NewExec(n.backend, n.store, func(scope *model.Scope, g *graph.Graph) *graph.Node {
		head := scope.In("head").VariableWithShape("weights", shapes.Make(float, 3, 2)).SetTrainable(false)
		return graph.ReduceAllSum(head.NodeValue(g))
	})
	if err != nil {
		panic(err)
	}
	n.after = func(step int64, loss float64) error {
		if step < 17 {
			return nil
		}
		head, err := probe.Exec()
		if err != nil {
			return err
		}
		n.run.Metrics.Scalar(step, "head", float64(tensors.ToScalar[float32](head[0])))
		return errors.Join(
			n.set("/metrics/best", tensors.FromScalar(loss)),
			n.set("/notes/empty", tensors.FromFlatDataAndDimensions([]float32{}, 0, 3)),
			n.set("/notes/flags", tensors.FromValue([]bool{true, false, step%2 == 0})),
			n.set("/trainer/counter", tensors.FromScalar(uint8(step))),
		)
	}
}

// set gives a variable a value, and makes it at the first time.
func (n *network) set(path string, value *tensors.Tensor) error {
	variable, err := n.store.CreateVariable(path, value)
	if err != nil {
		return err
	}
	return variable.SetTrainable(false).SetValuePreservingOld(value)
}

func freezes(n *network) {
	n.after = func(step int64, _ float64) error {
		if step == 3 {
			n.freeze(true)
		}
		return nil
	}
}

func saves(n *network) {
	n.after = func(step int64, _ float64) error {
		if step == 3 {
			return n.run.Save(step)
		}
		return nil
	}
}

// draws takes random numbers in each attempt, and so moves what the next step draws.
func draws(n *network) {
	n.resumed = func(int64) error {
		draw, err := model.NewExec(n.backend, n.store, func(scope *model.Scope, g *graph.Graph) *graph.Node {
			return graph.ReduceAllSum(scope.RandomUniform(g, shapes.Make(float, 4)))
		})
		if err != nil {
			return err
		}
		_, err = draw.Exec()
		return err
	}
}

// setsWeights sets weights in each attempt, as one does with weights that were trained before.
func setsWeights(n *network) {
	n.resumed = func(int64) error {
		const path = "/second/dense/weights"
		value := tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 8, 1)
		err := n.set(path, value)
		n.store.GetVariable(path).SetTrainable(true)
		return err
	}
}
