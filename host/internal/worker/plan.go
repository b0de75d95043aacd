package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
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
	kept     []tensorboard.Place // of the event files
	warnings []string            // to be said once the attempt has a log
	sync     *syncer
	clock    *clock // from when it begins
	// environment is what the plugin gets, but for what is only known once the attempt has directories.
	environment map[string]string
	key         exactness.Key

	executable plugin.Executable
}

func (p *plan) finished() bool { return p.resume != nil && p.resume.Reason == checkpoint.Final }

func (p *plan) step() uint64 {
	if p.resume == nil {
		return 0
	}
	return p.resume.Step
}

// events is what the event files hold of the checkpoint's history.
func (p *plan) events() checkpoint.Events {
	if p.resume == nil {
		return checkpoint.Events{}
	}
	return p.resume.Events
}

// before is the attempt that wrote the checkpoint to resume from, if it is known what that trained on; nil else.
func (p *plan) before() *run.Attempt {
	i := slices.IndexFunc(p.attempts, func(a run.Attempt) bool { return p.resume != nil && a.Number == p.resume.Attempt && a.Start != nil })
	if i < 0 {
		return nil
	}
	return &p.attempts[i]
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
	plan := &plan{attempts: attempts, attempt: 1, plugin: w.Run.Spec.Plugin.SHA256, sync: newSyncer(nil)}
	if n := len(attempts); n > 0 {
		last := attempts[n-1]
		plan.attempt = last.Number + 1
	}
	plan.store = dirstore.New(w.Run.Checkpoints(), dirstore.Options{})
	if _, err := plan.store.Collect(ctx); err != nil {
		return nil, outputs(err)
	}
	plan.resume, plan.skipped, err = Choose(ctx, w.Run, plan.store, attempts, whole)
	former := w.endOfFormer(plan)
	if err == nil && !plan.finished() { // else no plugin is needed
		err = w.ready(ctx, plan)
	}
	if err == nil {
		w.makeRoom(ctx, plan) // before anything is written
	}
	if former != nil {
		if endErr := w.Run.WriteEnd(attempts[len(attempts)-1].Number, *former); endErr != nil {
			return nil, outputs(endErr)
		}
	}
	return plan, err
}

// endOfFormer is the end of the last attempt, which could not record it itself: this process holds the lock, so its worker
// and its plugin are dead. nil: it has one.
func (w *Worker) endOfFormer(plan *plan) *run.End {
	if len(plan.attempts) == 0 || plan.attempts[len(plan.attempts)-1].End != nil {
		return nil
	}
	last := &plan.attempts[len(plan.attempts)-1]
	last.End = &run.End{
		State: run.Interrupted, Cause: run.Died, Code: exit.Interrupted,
		Step:  max(last.Claim.ResumedStep, w.Run.LastProgress(last.Number).Step), // as far as it said
		Lived: run.Duration(w.Run.Lived(*last)),
	}
	if from := plan.resume; from != nil && from.Attempt == last.Number {
		last.End.Lived = max(last.End.Lived, run.Duration(run.Seconds(from.ElapsedSeconds)))
	}
	return last.End
}

// makeRoom removes the checkpoints that the run no longer keeps, now that the one that it resumes from was read back: on a
// full disk, a resume with a smaller --keep has no other way to begin. That it fails loses nothing, and is said.
func (w *Worker) makeRoom(ctx context.Context, plan *plan) {
	if plan.resume == nil {
		return
	}
	entries, err := plan.store.List(ctx)
	if err == nil {
		policy := checkpoint.Policy{KeepLast: w.Run.Spec.Options.Keep}
		_, err = checkpoint.PruneBefore(ctx, plan.store, policy, plan.resume.ID, checkpoint.Lineage(run.Claims(plan.attempts), entries))
	}
	if err != nil && ctx.Err() == nil {
		plan.warnings = append(plan.warnings, fmt.Sprintf("old checkpoints were not removed: %v", err))
	}
}

// claimed is the plan of attempt n, whose checkpoint was chosen by whoever has claimed it.
func (w *Worker) claimed(ctx context.Context, n int) (*plan, error) {
	attempts, err := w.Run.Attempts()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(attempts, func(a run.Attempt) bool { return a.Number == n })
	// One that has started has had a Sandbox already: this is another, made by a call that was repeated after that had ended.
	if i < 0 || i < len(attempts)-1 || attempts[i].End != nil || attempts[i].Start != nil {
		return nil, exit.Errorf(exit.StillRunning, "attempt %d of run %s is not the one that is to live", n, w.Run.ID)
	}
	plan := &plan{attempts: attempts[:i], attempt: n, plugin: w.Run.Spec.Plugin.SHA256, sync: newSyncer(w.Sync)}
	if err := w.Run.MakeDirectories(); err != nil {
		return plan, outputs(err)
	}
	plan.store = dirstore.New(w.Run.Checkpoints(), dirstore.Options{FS: dirstore.Mount{}, Sync: plan.sync.now})
	if _, err := plan.store.Collect(ctx); err != nil {
		return plan, outputs(err)
	}
	if from := attempts[i].Claim.ResumedFrom; from != "" {
		if plan.resume, err = plan.store.Verify(ctx, from); err == nil {
			err = guard(w.Run, plan.resume)
		}
		if err != nil { // it was whole when it was chosen
			return plan, exit.Errorf(exit.Interrupted, "checkpoint %s cannot be resumed from here: %w", from, err)
		}
	}
	return plan, w.ready(ctx, plan)
}

// ready settles the device, and looks whether there is time left, whether the data is there and the plugin the run's, and
// whether the run is exact under what it goes on with.
func (w *Worker) ready(ctx context.Context, plan *plan) (err error) {
	if plan.timeLeft, err = w.Run.TimeLeft(plan.attempts); err != nil {
		return err
	}
	if err := run.CheckData(w.Run.ID, w.data()); err != nil {
		return err
	}
	plan.kept = kept(plan.attempts, plan.events().Place)
	if err := w.chooseDevice(plan); err != nil {
		return err
	}
	plan.executable = plugin.Executable{Path: cmp.Or(w.Executable, w.Run.Executable()), Name: w.Run.Spec.Plugin.Path, SHA256: plan.plugin}
	if err := plan.executable.Verify(); err != nil {
		return err
	}
	return w.compare(ctx, plan)
}

// Choose returns the checkpoint that the next attempt of a run goes on from, nil for step 0, and the bad ones that it
// went past. exit.Mismatch: it is another run's; exit.BadCheckpoint: the run had made progress, and it is lost.
//
// torn says whether a checkpoint came to the volume without the events that belong to it. Only the newest one can have,
// with a commit that was torn when its attempt was killed; it was not acknowledged, and is passed over.
func Choose(ctx context.Context, r *run.Run, store checkpoint.Store, attempts []run.Attempt, torn func(*checkpoint.Manifest) (bool, error)) (*checkpoint.Manifest, []checkpoint.Skipped, error) {
	entries, err := store.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	candidates := checkpoint.Lineage(run.Claims(attempts), entries)
	var passed []checkpoint.Skipped
	if len(candidates) > 0 && candidates[0].Manifest != nil {
		newest := candidates[0]
		without, err := torn(newest.Manifest)
		if err != nil {
			return nil, nil, err
		}
		if without {
			passed = []checkpoint.Skipped{{ID: newest.ID, Err: fmt.Errorf("checkpoint %s was not acknowledged: its commit was torn, and the curves up to it are not on the volume", newest.ID)}}
			candidates = candidates[1:]
		}
	}
	resume, skipped, err := checkpoint.Select(ctx, store, candidates, func(have *checkpoint.Manifest) error { return guard(r, have) })
	skipped = append(passed, skipped...)
	var mismatch *checkpoint.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return nil, nil, exit.Errorf(exit.Mismatch, "run %s: %w", r.ID, err).
			Hint("Start another run with what differs: mtt-host run PLUGIN --new")
	case errors.Is(err, checkpoint.ErrNoGoodCheckpoint) && nothingAcknowledged(r, attempts):
		err = nil
	case errors.Is(err, checkpoint.ErrNoGoodCheckpoint):
		return nil, nil, exit.Errorf(exit.BadCheckpoint, "run %s cannot go on: %w%s", r.ID, err, list(skipped)).
			Hint("Bring a good copy of one back into %s, or start over: mtt-host run PLUGIN --new", r.Checkpoints())
	case err == nil && resume == nil:
		err = refuseLoss(r, attempts, entries)
	}
	return resume, skipped, err
}

// whole is for volumes where the events are on the disk before the checkpoint is.
func whole(*checkpoint.Manifest) (torn bool, err error) { return false, nil }

// nothingAcknowledged says that the checkpoints of a run on Modal, of which none is good, are what was left of commits of which none was
// acknowledged: a machine that is taken away may leave a manifest without its blobs there, which no disk here does. Nothing
// is lost with them, and nobody may be there to be asked.
func nothingAcknowledged(r *run.Run, attempts []run.Attempt) bool {
	return r.Spec.Options.Modal != nil && !slices.ContainsFunc(attempts, func(a run.Attempt) bool {
		return a.Saved != nil || a.Claim.ResumedFrom != ""
	})
}

// refuseLoss keeps a run that had made progress from beginning at step 0 again: that its checkpoints are gone is for a
// person to know.
func refuseLoss(r *run.Run, attempts []run.Attempt, entries []checkpoint.Entry) error {
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
	return exit.Errorf(exit.BadCheckpoint, "run %s cannot go on: %s", r.ID, lost).
		Hint("Bring back what is missing in %s or %s, or start over: mtt-host run PLUGIN --new", r.Checkpoints(), r.Dir())
}

// chooseDevice settles what the attempt trains on, and in which environment.
func (w *Worker) chooseDevice(plan *plan) (err error) {
	spec := w.Run.Spec
	environment := plugin.Environment(os.Environ(), spec.Options.Env, w.Secrets)
	plan.device, plan.warnings, err = device.Choose(spec.Options.Device, spec.Devices, environment, spec.Options.Exact)
	if err != nil {
		return err
	}
	plan.environment = plan.device.Environment(environment, "")
	if plan.device.Name == device.CPU {
		plan.setThreads()
	}
	return nil
}

// guard refuses a checkpoint that is not of this run. Code that the run was made to go on with counts as its own.
func guard(r *run.Run, have *checkpoint.Manifest) error {
	want := r.Spec.Identity()
	if slices.Contains(r.Spec.Plugin.Former, have.PluginSHA256) {
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
		ResumedEvents: plan.events().Place,
		Hostname:      hostname, PID: os.Getpid(), HostVersion: w.Version,
		PluginSHA256: w.Run.Spec.Plugin.SHA256, Time: time.Now().UTC(),
	})
	if err != nil {
		return outputs(err)
	}
	return nil
}
