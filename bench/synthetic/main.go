// Command synthetic is an experiment that trains on random numbers: for speed alone, at sizes that the digits do not
// have. bench/jax/steps.py has the same workloads in JAX; they must stay the same.
package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// Config is what a user can set.
type Config struct {
	Workload string `json:"workload" jsonschema:"cnn-8, cnn-32 or mlp-4096"`
	Steps    int64  `json:"steps" jsonschema:"training steps"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "synthetic",
		Version:  "1.0.0",
		Summary:  "Trains a network on random numbers, to measure speed.",
		Defaults: Config{Workload: "cnn-8", Steps: 1000},
		Devices:  gomlx.Devices(),
		Train:    trainSynthetic,
	})
}

func trainSynthetic(run *sdk.Run, config Config) (sdk.Result, error) {
	work, ok := workloads[config.Workload]
	if !ok {
		return nil, fmt.Errorf("workload is %q: want cnn-8, cnn-32 or mlp-4096", config.Workload)
	}
	backend, err := gomlx.Backend(run.Device())
	if err != nil {
		return nil, err
	}
	store := model.NewStore()
	state, err := gomlx.NewState(backend, store, run.Seed())
	if err != nil {
		return nil, err
	}
	step, err := run.Resume(state)
	if err != nil {
		return nil, err
	}
	trainer := train.NewTrainer(backend, store, work.logits,
		loss.SparseCategoricalCrossEntropyLogits, state.Watch(optimizer.Adam().Done()), nil, nil)
	batches := work.batches(uint64(run.Seed()))
	return sdk.Result{}, gomlx.Loop{
		Run: run, State: state, Trainer: trainer, Steps: config.Steps,
		Batch: func(step int64) (train.Batch, error) { return batches[step%distinct].batch(work), nil },
		After: func(step int64, loss float64) error {
			run.Metrics.Scalar(step, "train/loss", loss)
			return nil
		},
	}.Train(step)
}

// distinct is how many batches take turns. Each is handed over from the host's memory in each step, as real ones are.
const distinct = 8

type numbers struct {
	x []float32
	y []int32
}

func (w workload) batches(seed uint64) (all [distinct]numbers) {
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range all {
		for range w.batch * w.features() {
			all[i].x = append(all[i].x, float32(random.NormFloat64()))
		}
		for range w.batch {
			all[i].y = append(all[i].y, random.Int32N(classes))
		}
	}
	return all
}

// batch returns x shaped as the workload's input, and y shaped [batch, 1].
func (n numbers) batch(w workload) train.Batch {
	return train.Batch{
		Inputs: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(n.x, append([]int{w.batch}, w.input...)...)},
		Labels: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(n.y, w.batch, 1)},
	}
}
