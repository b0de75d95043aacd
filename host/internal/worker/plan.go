package worker

import (
	"cmp"
	"context"
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
	"github.com/mtt-project/mtt/host/internal/resume"
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
	plan.resume, plan.skipped, err = resume.Choose(ctx, w.Run, plan.store, attempts, resume.Whole)
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
	r := retention{store: plan.store, policy: checkpoint.Policy{KeepLast: w.Run.Spec.Options.Keep}}
	lineage, err := r.lineage(ctx, run.Claims(plan.attempts))
	if err == nil {
		_, err = checkpoint.PruneBefore(ctx, plan.store, r.policy, plan.resume.ID, lineage)
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
			err = resume.Guard(w.Run, plan.resume)
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
