package sdk

import (
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// cadence decides when a checkpoint is due.
type cadence struct {
	steps     int64         // 0: by time
	interval  time.Duration // 0: by steps
	savedStep int64
	savedTime time.Time
}

func newCadence(c *experimentv1.Cadence, step int64) cadence {
	return cadence{steps: int64(c.GetSteps()), interval: c.GetInterval().AsDuration(), savedStep: step, savedTime: time.Now()}
}

func (c *cadence) due(step int64) bool {
	if step <= c.savedStep {
		return false
	}
	// By steps: at each multiple, and not so many after the last one, so that a resumed run saves at the same steps.
	if c.steps > 0 && step/c.steps > c.savedStep/c.steps {
		return true
	}
	return c.interval > 0 && time.Since(c.savedTime) >= c.interval
}

func (c *cadence) saved(step int64) { c.savedStep, c.savedTime = step, time.Now() }
