package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"google.golang.org/grpc"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// Run is the handle of one attempt of a run: what the host asked for, and the way to report back. Its methods are for
// the goroutine that called Train, but for Stopped, Context and Metrics, which any may use.
type Run struct {
	// Metrics takes the scalars that become curves.
	Metrics *Metrics

	ctx         context.Context // of Train, cancelled by the host, and by a wrong metric
	calls       context.Context // of the host's services, cancelled by the host alone
	request     *experimentv1.TrainRequest
	checkpoints experimentv1.CheckpointServiceClient
	stop        *atomic.Bool

	state    State // nil before Resume
	resumed  bool  // Resume was called
	warned   bool  // that it was not
	last     int64 // the last step that is known of
	saver    saver
	saveNext cadence
}

func newRun(ctx context.Context, host grpc.ClientConnInterface, request *experimentv1.TrainRequest, stop *atomic.Bool) *Run {
	metrics := newMetrics(ctx, experimentv1.NewMetricServiceClient(host))
	run := &Run{
		ctx: metrics.good, calls: ctx, request: request, stop: stop,
		checkpoints: experimentv1.NewCheckpointServiceClient(host),
		Metrics:     metrics,
		last:        int64(request.GetResume().GetStep()),
	}
	run.saveNext = newCadence(request.GetCadence(), run.last)
	run.saver = saver{ctx: ctx, client: run.checkpoints}
	return run
}

// ID is the run's name. It is the same in all attempts.
func (r *Run) ID() string { return r.request.GetRunId() }

// Attempt is the number of this attempt, from 1. Nothing that is learnt may depend on it.
func (r *Run) Attempt() int { return int(r.request.GetAttempt()) }

// Seed is what everything random follows from, 0 to 2^53-1.
func (r *Run) Seed() int64 { return int64(r.request.GetSeed()) }

// Device is what to train on: "go", "cpu", "cuda", or "auto" to choose the best that is there.
func (r *Run) Device() string { return r.request.GetDevice() }

// OutputDir is the absolute path of a directory for the experiment's own files. The host keeps its files at each save
// and at the end, and a later attempt finds them there again; they are not rolled back on a resume. What the experiment
// removes is removed. Relative links to what is below it are kept; other links, pipes and the like, and files whose names
// are not UTF-8, are not, which the host warns of.
func (r *Run) OutputDir() string { return r.request.GetOutputDir() }

// Data returns the absolute path of the directory that a person gave the run under this name, with --mount DIR:NAME. It
// is for reading only. What is in it is not part of the run's identity: a resume is exact only if it is the same. The
// path may be another one in each attempt, so it does not belong in the state.
func (r *Run) Data(name string) (string, error) {
	path, ok := r.request.GetData()[name]
	if !ok {
		return "", fmt.Errorf("the run was given no data named %q: give it the directory with --mount DIR:%s, on mtt-host run or resume", name, name)
	}
	return path, nil
}

// Context is cancelled when the attempt must end at once, without a checkpoint.
func (r *Run) Context() context.Context { return r.ctx }

// mistake is what the run fails of since the experiment has logged a metric: a wrong call, or that the host did not take
// it; nil for nothing.
func (r *Run) mistake() error {
	if r.ctx.Err() == nil || r.calls.Err() != nil {
		return nil
	}
	return context.Cause(r.ctx)
}

// Stopped says that the attempt was asked to end, or fails of a wrong metric: return ErrStopped at the next step boundary.
// A loop that asks ShouldSave at each step has saved by then, and Serve saves what such a loop has not.
func (r *Run) Stopped() bool { return r.stop.Load() || r.ctx.Err() != nil }

// Resume registers the state that checkpoints are made of: one State or several, such as a model and the JSON beside it,
// whose blobs have different names. If the run has a checkpoint it is loaded into them, and the number of steps behind it
// is returned; otherwise 0, and they are left as they are. It is called once, before the first step.
// A run whose checkpoint was not loaded, because Resume was not called or has failed, cannot save and does not succeed.
func (r *Run) Resume(state State, more ...State) (step int64, err error) {
	all := states(append([]State{state}, more...))
	if err := all.check(); err != nil {
		return 0, fmt.Errorf("run.Resume: %w", err)
	}
	if r.resumed {
		return 0, errors.New("run.Resume was called before in this attempt")
	}
	r.resumed = true
	if checkpoint := r.request.GetResume(); checkpoint != nil {
		ctx, cancel := context.WithCancel(r.calls) // ends what Load has left open
		defer cancel()
		if err := newReader(ctx, r.checkpoints, checkpoint).load(all); err != nil {
			return 0, fmt.Errorf("cannot load checkpoint %s: %w", checkpoint.GetId(), err)
		}
	}
	r.state = all
	return r.last, nil
}

// Progress reports that step of total steps are done; total is 0 if it is not known. It costs next to nothing.
func (r *Run) Progress(step, total int64) {
	r.reach(step)
	r.Metrics.progress(step, total)
}

// ShouldSave is asked at every step boundary, once step training steps are done. It says whether a checkpoint is due:
// because the host's cadence says so, or because the attempt was asked to stop.
func (r *Run) ShouldSave(step int64) bool {
	r.reach(step)
	if r.stop.Load() && step > r.saveNext.savedStep || r.saver.failed() || r.mistake() != nil {
		return true
	}
	return r.saveNext.due(step)
}

// Save makes a checkpoint of the registered state after step training steps. It returns when the state was copied to
// the host, which may take longer to make it durable; an error of that is returned by the next Save, which comes at
// once because ShouldSave then says so, and fails the run at the end at the latest. If the attempt was asked to stop,
// it returns when the checkpoint is durable.
func (r *Run) Save(step int64) error {
	if step < 0 {
		return fmt.Errorf("run.Save: there is no step %d", step)
	}
	r.reach(step)
	if err := r.checkResumed(); err != nil {
		return err
	}
	if r.state == nil {
		return errors.New("run.Save: there is no state, since run.Resume was not called")
	}
	reason := experimentv1.Reason_REASON_MANUAL
	switch {
	case r.stop.Load():
		reason = experimentv1.Reason_REASON_STOP
	case r.saveNext.due(step):
		reason = experimentv1.Reason_REASON_PERIODIC
	}
	if err := r.save(step, reason, nil); err != nil {
		return err
	}
	r.saveNext.saved(step)
	if reason == experimentv1.Reason_REASON_STOP {
		return r.saver.wait()
	}
	return nil
}

func (r *Run) save(step int64, reason experimentv1.Reason, result Result) error {
	if err := r.saver.wait(); err != nil { // one at a time
		return err
	}
	through, err := r.Metrics.flush()
	if err != nil {
		return err
	}
	header := &experimentv1.SaveHeader{Step: uint64(step), Reason: reason, MetricsThrough: through, Result: result}
	return r.saver.send(header, r.state)
}

func (r *Run) reach(step int64) {
	r.last = max(r.last, step)
	r.warnUnsaved()
}

// warnUnsaved says, once, that a kill would cost all: what was never registered cannot be saved. It is no error, since an
// experiment may have nothing to save.
func (r *Run) warnUnsaved() {
	if r.resumed || r.warned || r.last == 0 {
		return
	}
	r.warned = true
	fmt.Fprintln(os.Stderr, "mtt: the experiment trains and has not called run.Resume, so nothing of it can be saved: a kill loses all")
}

// checkResumed refuses to go on from step 0 where the run has a checkpoint.
func (r *Run) checkResumed() error {
	if checkpoint := r.request.GetResume(); checkpoint != nil && r.state == nil {
		return fmt.Errorf("the run has a checkpoint at step %d, which the experiment did not load: it must call run.Resume before it trains, and return its error", checkpoint.GetStep())
	}
	return nil
}
