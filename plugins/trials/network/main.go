// Command network is a small network on GoMLX, for tests. Each of its trials trains it in a way in which some of what the
// next step depends on is easily left out of a checkpoint, or does what must be refused.
package main

import (
	"fmt"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/metric"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// Config is what a user can set.
type Config struct {
	Trial string `json:"trial" jsonschema:"way to train"`
	Steps int64  `json:"steps" jsonschema:"most training steps"`
	Pause int64  `json:"pause_us" jsonschema:"microseconds to wait in each step"`
	Hang  bool   `json:"hang" jsonschema:"wait to be killed behind the last step, in the first attempt"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "network",
		Defaults: Config{Trial: "plain", Steps: 60, Pause: 2000},
		Devices:  gomlx.Devices(),
		Train:    trainNetwork,
	})
}

// network is what a trial works with. A trial changes it before anything is built.
type network struct {
	run     *sdk.Run
	config  Config
	backend compute.Backend
	store   *model.Store
	state   *gomlx.State
	small   any // the trial's own state, kept as JSON; nil if it has none

	hidden  func(scope *model.Scope, x *graph.Node) *graph.Node // at the end of the model function
	resumed func(step int64) error                              // behind run.Resume
	built   func(trainer *train.Trainer) error                  // behind train.NewTrainer
	after   func(step int64, loss float64) error
	train   func(trainer *train.Trainer, step int64) error // instead of a Loop
	result  func() (sdk.Result, error)
}

func trainNetwork(run *sdk.Run, config Config) (sdk.Result, error) {
	backend, err := gomlx.Backend(run.Device())
	if err != nil {
		return nil, err
	}
	n := &network{run: run, config: config, backend: backend, store: model.NewStore()}
	if n.state, err = gomlx.NewState(backend, n.store, run.Seed()); err != nil {
		return nil, err
	}
	n.train = n.loop
	n.result = func() (sdk.Result, error) { return sdk.Result{"loss": n.state.Loss()}, nil }
	trial, ok := trials[config.Trial]
	if !ok {
		return nil, fmt.Errorf("there is no trial %q", config.Trial)
	}
	trial(n)
	states := []sdk.State{n.state}
	if n.small != nil {
		states = append(states, sdk.JSON("small.json", n.small))
	}
	step, err := run.Resume(states[0], states[1:]...)
	if err != nil {
		return nil, err
	}
	if n.resumed != nil {
		if err := n.resumed(step); err != nil {
			return nil, err
		}
	}
	trainer := train.NewTrainer(backend, n.store, n.predict, loss.MeanSquaredError,
		n.state.Watch(optimizer.Adam().LearningRate(0.01).Done()), []metric.Interface{mean()}, []metric.Interface{mean()})
	if n.built != nil {
		if err := n.built(trainer); err != nil {
			return nil, err
		}
	}
	if err := n.train(trainer, step); err != nil {
		return nil, err
	}
	if config.Hang && run.Attempt() == 1 {
		time.Sleep(50 * time.Millisecond) // until what is under way to the disk has come there
		fmt.Println("waits to be killed")
		<-run.Context().Done()
	}
	return n.result()
}

// mean is a metric that remembers all steps.
func mean() metric.Interface {
	return metric.NewMeanMetric("prediction", "prediction", "value", func(_ *model.Scope, _, predictions []*graph.Node) *graph.Node {
		return graph.ReduceAllMean(predictions[0])
	}, nil)
}

func (n *network) predict(scope *model.Scope, x *graph.Node) *graph.Node {
	x = activation.Relu(layers.Dense(scope.In("first"), x, true, 8))
	x = layers.DropoutStatic(scope, x, 0.2)
	x = layers.Dense(scope.In("second"), x, true, 1)
	if n.hidden != nil {
		x = n.hidden(scope, x)
	}
	return x
}

// loop trains as an experiment is meant to.
func (n *network) loop(trainer *train.Trainer, step int64) error {
	return gomlx.Loop{
		Run: n.run, State: n.state, Trainer: trainer, Steps: n.config.Steps, Batch: batch,
		After: func(step int64, loss float64) error {
			n.pause()
			n.run.Metrics.Scalar(step, "loss", loss)
			if n.after == nil {
				return nil
			}
			return n.after(step, loss)
		},
	}.Train(step)
}

func (n *network) pause() { time.Sleep(time.Duration(n.config.Pause) * time.Microsecond) }

const (
	examples = 8
	inputs   = 4
)

// batch is a function of the step alone. Every tenth is smaller, as the last one of an epoch is.
func batch(step int64) (train.Batch, error) {
	rows := examples
	if step%10 == 0 {
		rows = examples / 2
	}
	x, y := make([]float32, rows*inputs), make([]float32, rows)
	for i := range x {
		x[i] = float32((step*7919+int64(i)*104729)%1000) / 1000
		y[i/inputs] += x[i] * x[i]
	}
	return train.Batch{
		Inputs: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(x, rows, inputs)},
		Labels: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(y, rows, 1)},
	}, nil
}

const learningRate = "/" + optimizer.Scope + "/learning_rate"

func float32Of(variable *model.Variable) float64 {
	return float64(tensors.ToScalar[float32](variable.MustValue()))
}

var float = dtypes.Float32
