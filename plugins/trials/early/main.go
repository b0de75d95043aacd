// Command early is an experiment in plain Go, for tests: it draws its examples from a generator whose state goes on from
// step to step, trains with momentum, and ends early once its loss no longer falls.
package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"github.com/mtt-project/mtt/sdk"
)

// Config is what a user can set.
type Config struct {
	Steps    int64 `json:"steps" jsonschema:"most training steps"`
	Patience int   `json:"patience" jsonschema:"steps without a better loss after which training ends"`
	Pause    int64 `json:"pause_us" jsonschema:"microseconds to wait in each step"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "early",
		Defaults: Config{Steps: 100_000, Patience: 120, Pause: 500},
		Metrics:  map[string]sdk.Direction{"best": sdk.Min},
		Train:    train,
	})
}

// early is what the end is decided by.
type early struct {
	Best, Smooth float64
	Bad          int // steps since Best
	History      map[int64]float64
	Random       *rand.PCG
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	line := new(line)
	state := early{Best: math.Inf(1), Smooth: 10, History: map[int64]float64{}, Random: rand.NewPCG(uint64(run.Seed()), 0)}
	draw := rand.New(state.Random)
	step, err := run.Resume(line, sdk.JSON("early.json", &state))
	if err != nil {
		return nil, err
	}
	for step < config.Steps && state.Bad < config.Patience {
		step++
		x := draw.NormFloat64()
		loss := line.step(x, 3*x+1+0.1*draw.NormFloat64())
		state.Smooth = 0.98*state.Smooth + 0.02*loss
		if state.Bad++; state.Smooth < state.Best {
			state.Best, state.Bad = state.Smooth, 0
		}
		if step%50 == 0 {
			state.History[step] = state.Best
		}
		time.Sleep(time.Duration(config.Pause) * time.Microsecond)
		run.Metrics.Scalar(step, "loss", loss)
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
	return sdk.Result{"best": state.Best, "steps": float64(step), "saved": float64(len(state.History))}, nil
}

// line is the model y = A·x + B, with its momentum.
type line struct{ A, B, MomentumA, MomentumB float64 }

func (l *line) step(x, y float64) (loss float64) {
	wrong := l.A*x + l.B - y
	l.MomentumA = 0.9*l.MomentumA + wrong*x
	l.MomentumB = 0.9*l.MomentumB + wrong
	l.A -= 0.005 * l.MomentumA
	l.B -= 0.005 * l.MomentumB
	return wrong * wrong
}

func (l *line) Save(to sdk.CheckpointWriter) error {
	blob, err := to.Create("line.f64")
	if err != nil {
		return err
	}
	return binary.Write(blob, binary.LittleEndian, l)
}

func (l *line) Load(from sdk.CheckpointReader) error {
	blob, err := from.Open("line.f64")
	if err != nil {
		return err
	}
	defer blob.Close()
	return binary.Read(blob, binary.LittleEndian, l)
}
