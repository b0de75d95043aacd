package worker

import (
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
)

// unsaved notices an attempt that trains and saves nothing, though the run wants checkpoints.
type unsaved struct {
	attempt *attempt
	from    uint64    // the step that the attempt began at
	step    uint64    // that it was at when it was last looked
	points  uint64    // of metrics, then
	moved   time.Time // when training was first seen to move; zero before
	said    bool
}

// patientCadences is how many checkpoints may fail to come before that is worth a word: one may be late.
const patientCadences = 2

func newUnsaved(a *attempt) *unsaved {
	progress, _ := a.metrics.now()
	return &unsaved{attempt: a, from: progress.Step, step: progress.Step}
}

// look warns, once, when training has gone on for two cadences without a save.
func (u *unsaved) look(now time.Time) {
	progress, points := u.attempt.metrics.reached()
	moves := progress.Step > u.step || points > u.points
	u.step, u.points = progress.Step, points
	if u.said || !moves || u.attempt.checkpoints.begun.Load() {
		return
	}
	if u.moved.IsZero() {
		u.moved = now
	}
	cadence := u.attempt.run.Spec.Options.Cadence
	every := cadence.String()
	if cadence.Steps > 0 {
		every += " steps"
	}
	if cadence.Steps > 0 && u.step-min(u.from, u.step) >= patientCadences*cadence.Steps ||
		cadence.Interval > 0 && now.Sub(u.moved) >= patientCadences*cadence.Interval {
		u.said = true
		u.attempt.log.Say(eventlog.Warning, "no checkpoint has come since step %d, though one is due every %s: a kill loses what was trained since. The experiment has to call run.ShouldSave and run.Save at each step", u.from, every)
	}
}
