// Command scalars is an experiment that does nothing but log: some tags in each step, and some on axes of their own. The
// variables KILLS and KILL_AFTER have it kill itself in its first attempts, so many steps after it has begun.
package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/mtt-project/mtt/sdk"
)

// Config is what a user can set.
type Config struct {
	Steps int64 `json:"steps"`
	Tags  int   `json:"tags"`
	// Axes has it also log under steps that are an epoch's, stay the same, or fall.
	Axes bool `json:"axes"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "scalars",
		Version:  "1.0.0",
		Defaults: Config{Steps: 1000, Tags: 20},
		Train:    train,
	})
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	step, err := run.Resume(empty{})
	if err != nil {
		return nil, err
	}
	tags := make([]string, config.Tags)
	for i := range tags {
		tags[i] = fmt.Sprintf("train/scalar-%03d", i)
	}
	end := lastStep(run.Attempt(), step)
	for step < config.Steps {
		if step == end {
			die()
		}
		step++
		for i, tag := range tags {
			run.Metrics.Scalar(step, tag, math.Sin(float64(step)*float64(i+1)))
		}
		if config.Axes {
			logOnAxes(run.Metrics, step, config.Steps)
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
	return sdk.Result{"steps": float64(step)}, nil
}

func logOnAxes(to *sdk.Metrics, step, steps int64) {
	to.Scalar(steps-step, "axes/falling", float64(step))
	if step%10 == 0 {
		to.Scalar(step/10, "axes/epoch", float64(step))
		to.Scalar(0, "axes/constant", float64(step))
	}
}

// lastStep is the one after which an attempt that begins at a step kills itself; none if it does not.
func lastStep(attempt int, from int64) int64 {
	kills, _ := strconv.Atoi(os.Getenv("KILLS"))
	after, _ := strconv.ParseInt(os.Getenv("KILL_AFTER"), 10, 64)
	if attempt > kills {
		return math.MaxInt64
	}
	return from + after
}

// die lets what was logged arrive at the host before.
func die() {
	time.Sleep(400 * time.Millisecond)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// empty is the state: all that a step depends on is its number.
type empty struct{}

func (empty) Save(to sdk.CheckpointWriter) error {
	blob, err := to.Create("nothing")
	if err != nil {
		return err
	}
	return binary.Write(blob, binary.LittleEndian, uint64(0))
}

func (empty) Load(sdk.CheckpointReader) error { return nil }
