// Command bare trains as plugins/train does, with GoMLX alone: no host, no SDK, no checkpoints and no metrics. It is
// what mtt's cost is measured against, so its loop must stay that of plugins/train; with the same seed both come to the
// same weights, and the benchmark compares their results.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/plugins/train/digits"
	"github.com/mtt-project/mtt/sdk/gomlx"
)

// The defaults of plugins/train.
const (
	batchSize    = 64
	learningRate = 0.003
	hidden       = 128
	dropout      = 0.3
	seed         = 0
)

// stamp says when a step was done, with its loss read.
type stamp struct {
	Step int64   `json:"step"`
	Time float64 `json:"time"` // seconds since 1970
}

func main() {
	device := flag.String("device", "go", "what to train on: go, cpu or cuda")
	kind := flag.String("model", digits.MLP, "network to train: mlp or cnn")
	steps := flag.Int64("steps", 600, "training steps")
	flag.Parse()
	if err := run(*device, *kind, *steps); err != nil {
		fmt.Fprintf(os.Stderr, "bare: %v\n", err)
		os.Exit(1)
	}
}

// run trains, and then prints a stamp of each step, and the score on the test images.
func run(device, kind string, steps int64) error {
	trainSet, testSet, err := digits.Load()
	if err != nil {
		return err
	}
	backend, err := gomlx.Backend(device)
	if err != nil {
		return err
	}
	store := model.NewStore()
	if err := store.SetRNGStateFromSeed(seed); err != nil {
		return err
	}
	network := digits.Network{Kind: kind, Hidden: hidden, Dropout: dropout}
	trainer := train.NewTrainer(backend, store, network.Logits,
		loss.SparseCategoricalCrossEntropyLogits, optimizer.Adam().LearningRate(learningRate).Done(), nil, nil)
	trainScore, err := digits.NewEvaluator(backend, store, network, batchSize, trainSet)
	if err != nil {
		return err
	}
	testScore, err := digits.NewEvaluator(backend, store, network, batchSize, testSet)
	if err != nil {
		return err
	}
	order := gomlx.Order{Seed: seed, Size: trainSet.Len(), Batch: batchSize}
	stamps := make([]stamp, 0, steps) // printed at the end, since printing costs time
	for step := int64(1); step <= steps; step++ {
		if err := trainStep(trainer, trainSet.At(order.At(step)).Batch()); err != nil {
			return fmt.Errorf("training step %d: %w", step, err)
		}
		stamps = append(stamps, stamp{step, float64(time.Now().UnixMicro()) / 1e6})
		if order.EpochEnds(step) || step == steps {
			if _, err := trainScore.Evaluate(); err != nil {
				return err
			}
			if _, err := testScore.Evaluate(); err != nil {
				return err
			}
		}
	}
	score, err := testScore.Evaluate()
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, s := range stamps {
		if err := out.Encode(s); err != nil {
			return err
		}
	}
	return out.Encode(map[string]float64{"accuracy": score.Accuracy, "loss": score.Loss})
}

// trainStep makes one step and reads its loss.
func trainStep(trainer *train.Trainer, batch train.Batch) error {
	metrics, err := trainer.TrainStep(batch)
	if err != nil {
		return err
	}
	_ = tensors.ToScalar[float32](metrics[0])
	for _, metric := range metrics {
		if err := metric.FinalizeAll(); err != nil {
			return err
		}
	}
	return nil
}
