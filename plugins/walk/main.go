// Command walk is the smallest experiment that shows everything mtt asks of one: many random walkers, whose mean
// square distance grows with the number of steps. It needs no framework, runs in well under a second, and its state is
// 64 KiB, so that it can be killed many times.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/mtt-project/mtt/sdk"
)

// Config is what a user can set.
type Config struct {
	Steps   int64   `json:"steps" jsonschema:"steps that each walker makes"`
	Walkers int     `json:"walkers" jsonschema:"number of walkers"`
	Drift   float64 `json:"drift" jsonschema:"mean of one step"`
	Pause   int64   `json:"pause_us" jsonschema:"microseconds to wait in each step"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "walk",
		Version:  "1.0.0",
		Summary:  "Random walkers whose mean square distance grows with the number of steps.",
		Defaults: Config{Steps: 200, Walkers: 8192, Drift: 0.01, Pause: 500},
		Metrics:  map[string]sdk.Direction{"mean_square": sdk.Max},
		Train:    train,
	})
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	if config.Walkers < 1 {
		return nil, fmt.Errorf("walkers is %d: want at least 1", config.Walkers)
	}
	at := make(walkers, config.Walkers)
	step, err := run.Resume(at)
	if err != nil {
		return nil, err
	}
	for step < config.Steps {
		step++
		at.walk(uint64(run.Seed()), uint64(step), config.Drift)
		time.Sleep(time.Duration(config.Pause) * time.Microsecond)
		run.Metrics.Scalar(step, "walk/mean_square", at.meanSquare())
		run.Metrics.Scalar(step, "walk/first", at[0])
		if step%50 == 0 {
			run.Metrics.Scalar(step, "walk/last", at[len(at)-1])
		}
		run.Progress(step, config.Steps)
		if run.ShouldSave(step) {
			if err := run.Save(step); err != nil {
				return nil, err
			}
		}
		if run.Stopped() {
			return nil, sdk.ErrStopped
		}
	}
	return sdk.Result{"mean_square": at.meanSquare()}, nil
}

// walkers are the positions of all walkers: the whole state.
type walkers []float64

// walk makes one step of each walker. The randomness is a function of the seed and the step alone, so a resumed run
// walks the same way.
func (w walkers) walk(seed, step uint64, drift float64) {
	random := rand.New(rand.NewPCG(seed, step))
	for i := range w {
		w[i] += drift + random.NormFloat64()
	}
}

func (w walkers) meanSquare() float64 {
	var sum float64
	for _, x := range w {
		sum += x * x
	}
	return sum / float64(len(w))
}

// Save writes the positions as little-endian float64s.
func (w walkers) Save(to sdk.CheckpointWriter) error {
	blob, err := to.Create("walkers.f64")
	if err != nil {
		return err
	}
	return binary.Write(blob, binary.LittleEndian, w)
}

// Load reads what Save wrote.
func (w walkers) Load(from sdk.CheckpointReader) error {
	blob, err := from.Open("walkers.f64")
	if err != nil {
		return err
	}
	defer blob.Close()
	if err := binary.Read(blob, binary.LittleEndian, w); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, blob); err != nil || n > 0 { // to its end, where the checksum is
		return fmt.Errorf("%d bytes more than %d walkers have: %w", n, len(w), err)
	}
	return nil
}
