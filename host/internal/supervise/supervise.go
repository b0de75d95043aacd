// Package supervise starts attempts of a run until it has ended.
package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/worker"
)

// Back-off between attempts: a fault that needs time to pass gets it, and one that does not pass burns no processor.
const (
	firstDelay = time.Second
	lastDelay  = time.Minute
)

// Run lives attempts until one succeeds, is stopped, or fails with no retry left. An attempt that failed after it had
// committed a newer checkpoint uses no retry up. The error carries the exit code of the run; the run itself is ended
// for good only where it SUCCEEDED or FAILED.
func Run(ctx context.Context, w *worker.Worker) (worker.Outcome, error) {
	allowed := w.Run.Spec.Options.Retries
	delay := firstDelay
	for used := 0; ; {
		outcome, err := w.Attempt(ctx)
		if err != nil {
			return outcome, err
		}
		if outcome.Progressed {
			delay = firstDelay
		} else {
			used++
		}
		if allowed == 0 || used > allowed || !retryable(outcome) || isClosed(w.Stop) {
			return outcome, conclude(w.Run, outcome)
		}
		w.Emit(worker.Event{Time: time.Now(), Kind: worker.Retrying, Message: fmt.Sprintf("the next attempt begins in %s", delay)})
		if !wait(ctx, w.Stop, delay) {
			outcome.State = run.Stopped
			outcome.Err = exit.Errorf(exit.Signalled, "stopped on request, before another attempt; the last one: %w", outcome.Err)
			return outcome, outcome.Err
		}
		delay = min(2*delay, lastDelay)
	}
}

// wait returns false if it was ended before d was over.
func wait(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-stop:
	case <-ctx.Done():
	}
	return false
}

// retryable says whether another attempt could end otherwise: not if the run has its result or was stopped, and not if
// the outputs cannot be written.
func retryable(outcome worker.Outcome) bool {
	return outcome.State == run.Failed || outcome.State == run.Interrupted && exit.Of(outcome.Err) == exit.Interrupted
}

// conclude writes the result of a run that failed for good.
func conclude(r *run.Run, outcome worker.Outcome) error {
	if outcome.State != run.Failed {
		return outcome.Err
	}
	attempts, err := r.Attempts()
	if err != nil {
		return err
	}
	err = r.Finish(run.Result{
		State: run.Failed, Error: outcome.Err.Error(), Code: exit.Of(outcome.Err),
		Step: outcome.Step, Attempt: attempts[len(attempts)-1].Number,
	})
	if err != nil {
		return err
	}
	return outcome.Err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
