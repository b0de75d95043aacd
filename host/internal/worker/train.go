package worker

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

const (
	// reportEvery is how often progress is logged, and a stop that the plugin has not followed is repeated.
	reportEvery = time.Second
	// cancelGrace is the time from the cancellation of Train to the end of the plugin: with it, an attempt's processes
	// are gone 5 s after mtt has decided so.
	cancelGrace = 3 * time.Second
	// failedGrace is what a plugin gets to return from Train when the volume has failed and nothing can be saved.
	failedGrace = 5 * time.Second
)

// train starts the plugin and sees Train to its end. The plugin has ended when it returns.
func (a *attempt) train(ctx, stop context.Context, plan *plan) ending {
	plugin, err := a.start(ctx, plan)
	if err != nil {
		return ending{err: err, asked: asked(stop), cut: ctx.Err() != nil}
	}
	call, cancel := context.WithCancel(context.Background())
	defer cancel()
	returned := make(chan ending, 1)
	go func() {
		response, err := plugin.Train(call, a.request(plan, plugin))
		if err != nil {
			err = plugin.ExplainTrain(err)
		} else {
			plugin.Close()
		}
		returned <- ending{response: response, err: err}
	}()
	end := a.watch(ctx, stop, plugin, returned, cancel)
	plugin.Kill()
	a.checkpoints.settle()
	a.mu.Lock()
	end.volume = a.volume
	a.mu.Unlock()
	end.last = a.checkpoints.last.Load()
	return end
}

// watch waits until Train has returned, and on the way down gives the plugin less and less: Stop, then the cancellation
// of Train, then Kill.
func (a *attempt) watch(ctx, stop context.Context, plugin *plugin.Plugin, returned <-chan ending, cancel func()) ending {
	var (
		stopping = stop.Done()
		failed   = (<-chan struct{})(a.failed)
		deadline deadline
		report   = time.NewTicker(reportEvery)
		sync     = a.sync.ticks()
		reporter = newReporter(a)
		silence  = silence{life: a.life}
		unsaved  = newUnsaved(a)
		stall    = time.Duration(a.run.Spec.Options.Stall)
	)
	defer report.Stop()
	for {
		select {
		case end := <-returned:
			reporter.report()
			end.asked = asked(stop)
			return end
		case <-report.C:
			reporter.report()
			unsaved.look(time.Now())
			quiet := silence.tick(reportEvery)
			switch {
			case stopping == nil: // and has a deadline already
				a.askToStop(ctx, plugin)
			case stall > 0 && quiet >= stall:
				a.cancel(ctx, plugin, cancel)
				return ending{err: a.stalled(stall), asked: asked(stop)}
			}
		case <-sync:
			go a.checkpoints.idly(func() { a.syncVolume(ctx) })
		case <-stopping:
			stopping = nil
			grace := time.Duration(a.run.Spec.Options.StopGrace)
			deadline.within(grace)
			reason := "asked to stop"
			if cause := asked(stop); exit.Of(cause) == exit.TimeLimit {
				reason = cause.Error()
			}
			a.log.Say(eventlog.Stopping, "%s: saving a checkpoint (at most %s); once more to leave at once", reason, grace)
			a.askToStop(ctx, plugin)
		case <-failed:
			failed = nil
			deadline.within(failedGrace)
		case <-deadline.passed:
			a.log.Say(eventlog.Warning, "the plugin did not return from Train in time")
			a.cancel(ctx, plugin, cancel)
			return ending{asked: asked(stop), cut: true}
		case <-ctx.Done():
			return ending{asked: asked(stop), cut: true}
		}
	}
}

// cancel cancels Train, and gives the plugin a moment to leave by itself.
func (a *attempt) cancel(ctx context.Context, plugin *plugin.Plugin, cancel func()) {
	cancel()
	select {
	case <-plugin.Done():
	case <-time.After(cancelGrace):
	case <-ctx.Done():
	}
}

// stalled says that there was no sign of life for so long.
func (a *attempt) stalled(limit time.Duration) error {
	progress, _ := a.metrics.now()
	return exit.Errorf(exit.Plugin, "the plugin has stalled: after step %d, no metric, progress, save or printed line came for %s", progress.Step, limit).
		Hint("See what came before: mtt-host logs %s\nIf it only needs longer, give it more, or 0 for no limit: mtt-host resume %s --stall 1h", a.run.ID, a.run.ID)
}

// asked is why the attempt was asked to end; nil if it was not.
func asked(stop context.Context) error {
	if stop.Err() == nil {
		return nil
	}
	return context.Cause(stop)
}

// deadline is when the plugin must have returned. It can only come nearer.
type deadline struct {
	at     time.Time // zero: none yet
	passed <-chan time.Time
}

func (d *deadline) within(limit time.Duration) {
	if at := time.Now().Add(limit); d.at.IsZero() || at.Before(d.at) {
		d.at, d.passed = at, time.After(limit)
	}
}

// askToStop tells the plugin to stop. It is repeated until Train returns, since a plugin may lose one that arrives before
// Train has begun.
func (a *attempt) askToStop(ctx context.Context, plugin *plugin.Plugin) {
	ctx, cancel := context.WithTimeout(ctx, reportEvery)
	defer cancel()
	// The answer is Train's return; an error means a broken connection, which Train reports too.
	_, _ = plugin.Stop(ctx, &experimentv1.StopRequest{})
}

// start starts the plugin and records what it trains on.
func (a *attempt) start(ctx context.Context, plan *plan) (*plugin.Plugin, error) {
	spec := a.run.Spec
	if err := plan.device.Link(a.links); err != nil {
		return nil, temporary(err)
	}
	started, err := plugin.Start(ctx, plugin.Options{
		Executable: plan.executable,
		Sockets:    a.sockets, Temporary: a.temporary, Directory: a.output,
		Env: plan.device.Environment(plan.environment, a.links), Lock: a.run.LockFile(),
		Timeout: time.Duration(spec.Options.StartTimeout),
		Sign:    a.life.sign,
		Output: func(line string) {
			a.log.Write(eventlog.Event{Kind: eventlog.Printed, Message: line})
		},
	})
	if err != nil {
		return nil, err
	}
	err = a.run.WriteStart(a.number, run.Start{
		Device: plan.device.Name, Driver: plan.device.Driver, PJRT: plan.device.PJRT,
		Exactness: plan.key, Deterministic: plan.device.Deterministic(),
		PluginPID: started.PID(), Events: a.events.Name(), Time: time.Now().UTC(),
	})
	if err != nil {
		started.Kill()
		return nil, outputs(err)
	}
	a.log.Write(eventlog.Event{Kind: eventlog.Started, Step: plan.step(), Message: a.beginning(plan)})
	a.syncVolume(ctx)
	return started, nil
}

func (a *attempt) beginning(plan *plan) string {
	where := "from step 0"
	switch {
	case plan.resume != nil:
		where = fmt.Sprintf("resumed from checkpoint %s at step %d", plan.resume.ID, plan.resume.Step)
	case plan.attempt > 1:
		where = "from step 0, since there is no checkpoint"
	}
	return fmt.Sprintf("attempt %d of run %s on %s: %s", plan.attempt, a.run.ID, plan.device, where)
}

func (a *attempt) request(plan *plan, started *plugin.Plugin) *experimentv1.TrainRequest {
	spec := a.run.Spec
	request := &experimentv1.TrainRequest{
		RunId:      a.run.ID,
		Attempt:    uint32(a.number),
		OutputDir:  a.output,
		ConfigJson: spec.Config,
		Seed:       spec.Seed,
		Device:     plan.device.Name,
		Cadence:    &experimentv1.Cadence{Steps: spec.Options.Cadence.Steps, Interval: durationpb.New(spec.Options.Cadence.Interval)},
		StopGrace:  durationpb.New(time.Duration(spec.Options.StopGrace)),
		Data:       a.data,
		HostServices: started.Serve(func(server grpc.ServiceRegistrar) {
			experimentv1.RegisterCheckpointServiceServer(server, a.checkpoints)
			experimentv1.RegisterMetricServiceServer(server, a.metrics)
		}),
	}
	if plan.resume != nil {
		request.Resume = toProto(plan.resume)
	}
	return request
}
