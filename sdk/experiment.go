// Package sdk turns a Go program into an experiment that mtt-host can run, resume and ship.
//
// An experiment is a main package that calls Serve:
//
//	type Config struct {
//		Steps        int64   `json:"steps" jsonschema:"training steps"`
//		LearningRate float64 `json:"learning_rate" jsonschema:"step size of the optimizer"`
//	}
//
//	func main() {
//		sdk.Serve(sdk.Experiment[Config]{
//			Name:     "digits",
//			Defaults: Config{Steps: 600, LearningRate: 0.001},
//			Train:    train,
//		})
//	}
//
//	func train(run *sdk.Run, config Config) (sdk.Result, error) {
//		model := newModel(config, run.Seed())
//		step, err := run.Resume(model) // 0, or the step of the checkpoint that was loaded into model
//		if err != nil {
//			return nil, err
//		}
//		for step < config.Steps {
//			step++
//			run.Metrics.Scalar(step, "train/loss", model.trainOn(batch(run.Seed(), step)))
//			run.Progress(step, config.Steps)
//			if run.ShouldSave(step) {
//				if err := run.Save(step); err != nil {
//					return nil, err
//				}
//			}
//			if run.Stopped() {
//				return nil, sdk.ErrStopped
//			}
//		}
//		return sdk.Result{"accuracy": model.accuracy()}, nil
//	}
//
// Three rules make a resumed run the same run, bit for bit:
//
//   - Everything that the next step depends on is in the state that Resume is given: not the weights alone, but also
//     momentum, counters, schedules, and what decides where training ends. JSON keeps what is in Go variables.
//   - Data and randomness are functions of the seed and the step alone, or their generator is in the state too.
//   - The result follows from the state alone, since a resume may have no step left to train.
//
// Training may end before the configured end: Train then returns its result as always, if what it decides by is in the
// state. The final checkpoint is that of the last step that Progress, ShouldSave or Save was given.
package sdk

import "errors"

// ErrStopped is what Train returns when it left early because Run.Stopped said so.
var ErrStopped = errors.New("stopped on request")

// Result is what a run comes to, such as {"accuracy": 0.95}. It must follow from the state alone, and not from the clock or
// from what Train has seen on its way: a run that was killed and resumed returns the same one.
type Result map[string]float64

// Direction says which way a metric is better.
type Direction int

// The directions of a metric. Max: larger is better.
const (
	Max Direction = iota + 1
	Min
)

// Experiment describes a program that trains. C is its configuration: a struct whose exported fields have json names
// and, for people, `jsonschema:"…"` descriptions. Its JSON Schema is made from the type, with the
// range of each number type, and Defaults fills in what a user leaves out.
type Experiment[C any] struct {
	// Name is the experiment's, `[a-z][a-z0-9-]{0,62}`. It is part of every run's identity.
	Name string
	// Version is for people. Which code is the same is decided by the digest of the executable.
	Version string
	// Summary says in one sentence what is trained.
	Summary string
	// CheckpointPrefix begins the names of this experiment's checkpoints, so that experiments can share a volume. It
	// has the form of Name, which it is by default.
	CheckpointPrefix string
	// Defaults is the configuration of a run that sets nothing. Train does not see a field of it that has no JSON name.
	Defaults C
	// Devices lists those the program was built for, of "go", "cpu" and "cuda". Empty: it does not choose.
	Devices []string
	// Metrics names the metrics in the result, with the direction that is better.
	Metrics map[string]Direction
	// Inexact says that a resumed run may differ from one that was left alone. mtt then does not claim otherwise.
	Inexact bool
	// Train runs until the configured end and returns the result; or until Run.Stopped, and returns ErrStopped. Any
	// other error, and a panic, fails the run. Serve makes the final checkpoint once Train has returned a result, of
	// the state that Run.Resume was given.
	Train func(run *Run, config C) (Result, error)
}
