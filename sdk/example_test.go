package sdk_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/mtt-project/mtt/sdk"
)

// Config is what a user can set.
type Config struct {
	Steps    int64   `json:"steps" jsonschema:"most training steps"`
	Rate     float64 `json:"rate" jsonschema:"step size"`
	Patience int     `json:"patience" jsonschema:"steps without a better loss after which training ends"`
}

// Line is the model y = A·x + B, with the momentum of its training: both are needed for the next step.
type Line struct{ A, B, MomentumA, MomentumB float64 }

func (l *Line) Save(to sdk.CheckpointWriter) error {
	blob, err := to.Create("line.f64")
	if err != nil {
		return err
	}
	return binary.Write(blob, binary.LittleEndian, l)
}

func (l *Line) Load(from sdk.CheckpointReader) error {
	blob, err := from.Open("line.f64")
	if err != nil {
		return err
	}
	defer blob.Close()
	return binary.Read(blob, binary.LittleEndian, l)
}

// step trains on one example and returns the loss.
func (l *Line) step(x, y, rate float64) float64 {
	wrong := l.A*x + l.B - y
	l.MomentumA = 0.9*l.MomentumA + wrong*x
	l.MomentumB = 0.9*l.MomentumB + wrong
	l.A -= rate * l.MomentumA
	l.B -= rate * l.MomentumB
	return wrong * wrong
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	line := new(Line)
	random := rand.NewPCG(uint64(run.Seed()), 0)
	early := struct {
		Best, Smooth float64
		Bad          int // steps since Best
	}{Best: math.Inf(1), Smooth: 10}
	step, err := run.Resume(line, sdk.JSON("random.json", random), sdk.JSON("early.json", &early))
	if err != nil {
		return nil, err
	}
	draw := rand.New(random)
	for step < config.Steps && early.Bad < config.Patience { // both follow from the state, so a resume ends at the same step
		step++
		x := draw.NormFloat64()
		early.Smooth = 0.99*early.Smooth + 0.01*line.step(x, 3*x+1+0.1*draw.NormFloat64(), config.Rate)
		if early.Bad++; early.Smooth < early.Best {
			early.Best, early.Bad = early.Smooth, 0
		}
		run.Metrics.Scalar(step, "loss", early.Smooth)
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
	return sdk.Result{"best": early.Best}, nil
}

// An experiment that ends early once the loss no longer falls. All that it learns and decides by is in its state: the
// model with its momentum, the random numbers, and how long the loss has not fallen.
func Example() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "line",
		Defaults: Config{Steps: 10_000, Rate: 0.01, Patience: 500},
		Metrics:  map[string]sdk.Direction{"best": sdk.Min},
		Train:    train,
	})
}
