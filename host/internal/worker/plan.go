package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// plan is what an attempt is to do, before anything of it is written.
type plan struct {
	attempts []run.Attempt // earlier ones
	attempt  int
	store    checkpoint.Store
	resume   *checkpoint.Manifest // nil: from step 0
	skipped  []checkpoint.Skipped
	plugin   string // digest
	device   device.Device
	timeLeft time.Duration
	warnings []string // to be said once the attempt has a log
}

func (p *plan) finished() bool { return p.resume != nil && p.resume.Reason == checkpoint.Final }

// otherCode says that the checkpoint was made by an earlier plugin of the run.
func (p *plan) otherCode() bool { return p.resume != nil && p.resume.PluginSHA256 != p.plugin }

func (p *plan) step() uint64 {
	if p.resume == nil {
		return 0
	}
	return p.resume.Step
}

func (p *plan) claim() checkpoint.Claim {
	claim := checkpoint.Claim{Attempt: p.attempt}
	if p.resume != nil {
		claim.ResumedFrom, claim.ResumedAttempt = p.resume.ID, p.resume.Attempt
	}
	return claim
}

// plan ends what an earlier attempt could not, and chooses the checkpoint to go on from.
func (w *Worker) plan(ctx context.Context) (*plan, error) {
	attempts, err := w.Run.Attempts()
	if err != nil {
		return nil, err
	}
	plan := &plan{attempts: attempts, attempt: 1, plugin: w.Run.Spec.Plugin.SHA256}
	if n := len(attempts); n > 0 {
		last := attempts[n-1]
		plan.attempt = last.Number + 1
		if last.End == nil { // we hold the lock, so its worker and its plugin are dead
			err := w.Run.WriteEnd(last.Number, run.End{
				State: run.Interrupted, Cause: run.Died, Code: exit.Interrupted,
				Step:  max(last.Claim.ResumedStep, w.Run.LastProgress(last.Number).Step), // as far as it said
				Lived: run.Duration(w.Run.Lived(last)),
			})
			if err != nil {
				return nil, outputs(err)
			}
		}
	}
	plan.store = dirstore.New(w.Run.Checkpoints(), dirstore.Options{})
	if _, err := plan.store.Collect(ctx); err != nil {
		return nil, outputs(err)
	}
	entries, err := plan.store.List(ctx)
	if err != nil {
		return nil, err
	}
	plan.resume, plan.skipped, err = checkpoint.Select(ctx, plan.store, checkpoint.Lineage(run.Claims(attempts), entries), w.guard)
	var mismatch *checkpoint.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return nil, exit.Errorf(exit.Mismatch, "run %s: %w", w.Run.ID, err).
			Hint("Start another run with what differs: mtt-host run PLUGIN --new")
	case errors.Is(err, checkpoint.ErrNoGoodCheckpoint):
		return nil, exit.Errorf(exit.BadCheckpoint, "run %s cannot go on: %w%s", w.Run.ID, err, list(plan.skipped)).
			Hint("Bring a good copy of one back into %s, or start over: mtt-host run PLUGIN --new", w.Run.Checkpoints())
	case err != nil:
		return nil, err
	case plan.finished():
		return plan, nil // and needs no plugin
	case plan.resume == nil:
		if err := w.refuseLoss(attempts, entries); err != nil {
			return nil, err
		}
	}
	if plan.timeLeft, err = w.Run.TimeLeft(attempts); err != nil {
		return nil, err
	}
	if err := w.Run.CheckMounts(); err != nil {
		return nil, err
	}
	if err := w.chooseDevice(plan); err != nil {
		return nil, err
	}
	return plan, executable(w.Run).Verify()
}

// refuseLoss keeps a run that had made progress from beginning at step 0 again: that its checkpoints are gone is for a
// person to know.
func (w *Worker) refuseLoss(attempts []run.Attempt, entries []checkpoint.Entry) error {
	var lost string
	if n := len(attempts); n > 0 { // of those before, only what it resumed from is in the run's history
		last := attempts[n-1]
		if last.Saved != nil {
			lost = fmt.Sprintf("checkpoint %s, which attempt %d had saved, is gone, and all after it", last.Saved.Checkpoint, last.Number)
		} else if last.Claim.ResumedFrom != "" {
			lost = fmt.Sprintf("checkpoint %s, from which attempt %d resumed, is gone", last.Claim.ResumedFrom, last.Number)
		}
	}
	for _, entry := range entries {
		if !slices.ContainsFunc(attempts, func(a run.Attempt) bool { return a.Number == entry.Manifest.Attempt }) {
			lost = fmt.Sprintf("checkpoint %s was saved by attempt %d, of which there is no record", entry.ID, entry.Manifest.Attempt)
		}
	}
	if lost == "" {
		return nil
	}
	return exit.Errorf(exit.BadCheckpoint, "run %s cannot go on: %s", w.Run.ID, lost).
		Hint("Bring back what is missing in %s or %s, or start over: mtt-host run PLUGIN --new", w.Run.Checkpoints(), w.Run.Dir())
}

// chooseDevice settles what the attempt trains on, and holds it against what the checkpoint was trained on.
func (w *Worker) chooseDevice(plan *plan) (err error) {
	spec := w.Run.Spec
	plan.device, plan.warnings, err = device.Choose(spec.Options.Device, spec.Devices, spec.Options.Exact)
	if err != nil {
		return err
	}
	if plan.resume == nil {
		return nil
	}
	change := plan.change()
	if change == "" {
		return nil
	}
	if spec.Options.Exact {
		return exit.Errorf(exit.Mismatch, "run %s is to be exact, and cannot be: %s", w.Run.ID, change).
			Hint("Go on with the code and the device that it was trained with, or without the claim: mtt-host resume %s --exact=false", w.Run.ID)
	}
	plan.warnings = append(plan.warnings, change+": exactness is not claimed")
	return nil
}

// change says what is another than when the checkpoint was made; "" if a resume from it is exact.
func (p *plan) change() string {
	if p.otherCode() {
		return fmt.Sprintf("going on with other code than made checkpoint %s", p.resume.ID)
	}
	now := exactness(p.plugin, p.device)
	for _, attempt := range p.attempts {
		if attempt.Number == p.resume.Attempt && attempt.Start != nil && attempt.Start.Exactness != now {
			return fmt.Sprintf("going on with %s, where checkpoint %s was made with %s", describe(now), p.resume.ID, describe(attempt.Start.Exactness))
		}
	}
	return ""
}

func describe(key run.Exactness) string {
	text := fmt.Sprintf("%s (%s, %s", key.Device, key.DeviceModel, key.GOARCH)
	if key.PJRTSHA256 != "" {
		text += fmt.Sprintf(", PJRT plugin %.12s, XLA_FLAGS %q", key.PJRTSHA256, key.XLAFlags)
	}
	return text + ")"
}

// guard refuses a checkpoint that is not of this run. Code that the run was made to go on with counts as its own.
func (w *Worker) guard(have *checkpoint.Manifest) error {
	want := w.Run.Spec.Identity()
	if slices.Contains(w.Run.Spec.Plugin.Former, have.PluginSHA256) {
		want.PluginSHA256 = have.PluginSHA256
	}
	return checkpoint.Guard(want, have)
}

func list(skipped []checkpoint.Skipped) (lines string) {
	for _, s := range skipped {
		lines += fmt.Sprintf("\n  %s: %v", s.ID, s.Err)
	}
	return lines
}

// claim takes the attempt.
func (w *Worker) claim(plan *plan) error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	claim := plan.claim()
	err = w.Run.ClaimNext(run.Claim{
		Attempt: claim.Attempt, ResumedFrom: claim.ResumedFrom, ResumedAttempt: claim.ResumedAttempt, ResumedStep: plan.step(),
		Hostname: hostname, PID: os.Getpid(), HostVersion: w.Version,
		PluginSHA256: w.Run.Spec.Plugin.SHA256, Time: time.Now().UTC(),
	})
	if err != nil {
		return outputs(err)
	}
	return nil
}
