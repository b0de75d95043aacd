package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/files"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// attempt is what is open while one lives.
type attempt struct {
	run         *run.Run
	number      int
	log         *eventlog.Writer
	scratch     *scratch.Dir
	output      string
	sockets     string
	temporary   string
	links       string // for the device's libraries
	events      *tensorboard.Writer
	files       *files.Keeper
	metrics     *metricService
	checkpoints *checkpointService
	life        *life
	data        map[string]string // directories by the names under which the experiment asks for them
	warned      map[string]bool   // of output files
	sync        *syncer

	mu     sync.Mutex
	volume error // the first failure of the volume
	failed chan struct{}
}

// open makes everything that the plugin needs before it starts.
func (w *Worker) open(ctx context.Context, plan *plan, log *eventlog.Writer) (_ *attempt, err error) {
	a := &attempt{run: w.Run, number: plan.attempt, log: log, life: new(life), data: w.data(), warned: map[string]bool{}, sync: plan.sync, failed: make(chan struct{})}
	if a.scratch, err = scratch.New(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.scratch.Close()
		}
	}()
	for name, path := range map[string]*string{"o": &a.output, "t": &a.temporary, "l": &a.links} {
		if *path, err = a.scratch.Sub(name); err != nil {
			return nil, err
		}
	}
	if a.sockets, err = a.scratch.Sockets(); err != nil {
		return nil, err
	}
	if err := a.fillOutput(ctx); err != nil {
		return nil, err
	}
	a.events, err = tensorboard.Create(w.Run.Dir(), tensorboard.Options{Attempt: plan.attempt, Kept: plan.kept, LastSteps: plan.events().LastSteps})
	if err != nil {
		return nil, outputs(err)
	}
	if damage := a.events.Warning(); damage != nil {
		log.Say(eventlog.Warning, "an open TensorBoard may go on showing points that were not saved: %v", damage)
	}
	a.metrics = newMetricService(a.events, plan.resume, a.life, a.fail)
	a.checkpoints = &checkpointService{
		store: plan.store, identity: w.Run.Spec.Identity(), attempt: plan.attempt,
		retention: retention{store: plan.store, policy: checkpoint.Policy{KeepLast: w.Run.Spec.Options.Keep}},
		claims:    append(run.Claims(plan.attempts), plan.claim()), resumed: plan.resume,
		metrics: a.metrics, keepFiles: a.keepFiles, firstSaved: func(ctx context.Context, id string) error {
			return errors.Join(w.Run.WriteSaved(plan.attempt, id), plan.sync.now(ctx))
		},
		life: a.life, log: log, fail: a.fail, elapsed: plan.clock.elapsed,
	}
	return a, nil
}

// fillOutput brings what earlier attempts wrote into the output directory.
func (a *attempt) fillOutput(ctx context.Context) error {
	var err error
	if a.files, err = files.Fill(ctx, a.run.Files(), a.output); err != nil {
		err = fmt.Errorf("cannot fill the output directory: %w", err)
		if _, kept := errors.AsType[*files.KeptError](err); kept {
			return outputs(err)
		}
		return temporary(err)
	}
	if a.files.Gone() {
		a.log.Say(eventlog.Warning, "what the experiment had written to its output directory is gone: there was no %s", a.run.Files())
	}
	return nil
}

// keepFiles copies the output directory to the volume.
func (a *attempt) keepFiles(ctx context.Context) error {
	passed, err := a.files.Keep(ctx)
	for _, passed := range passed {
		if said := passed.Error(); !a.warned[said] {
			a.warned[said] = true
			a.log.Say(eventlog.Warning, "an output file is not kept: %v", passed)
		}
	}
	return err
}

// close keeps what the experiment wrote, unless ctx says that there is no time for that, and ends the event file.
func (a *attempt) close(ctx context.Context) error {
	err := a.keepFiles(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	err = errors.Join(err, a.events.Close())
	if scratchErr := a.scratch.Close(); scratchErr != nil {
		a.log.Say(eventlog.Warning, "temporary files were not removed: %v", scratchErr)
	}
	return err
}

// syncVolume makes what was written durable beyond this machine.
func (a *attempt) syncVolume(ctx context.Context) {
	if err := a.sync.now(ctx); err != nil && ctx.Err() == nil {
		a.fail(err)
	}
}

// fail records a failure of the volume, or a *breachError: the attempt cannot go on, whatever the plugin makes of it.
func (a *attempt) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.volume == nil {
		a.volume = err
		close(a.failed)
	}
}

// step is the last one that is known of.
func (a *attempt) step(e ending) uint64 {
	progress, _ := a.metrics.now()
	return max(progress.Step, e.response.GetLastStep())
}
