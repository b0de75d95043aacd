// Package supervise starts attempts of a run until it has ended.
package supervise

import (
	"context"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/worker"
)

// Run lives attempts until one succeeds, is stopped, or fails with no retry left. An attempt that failed after it had
// committed a newer checkpoint uses no retry up. The error carries the exit code of the run; the run itself is ended
// for good only where it SUCCEEDED or FAILED.
func Run(ctx context.Context, w *worker.Worker) (worker.Outcome, error) {
	allowed := w.Run.Spec.Options.Retries
	for used := 0; ; {
		outcome, err := w.Attempt(ctx)
		if err != nil {
			return outcome, err
		}
		if !outcome.Progressed {
			used++
		}
		if allowed == 0 || used > allowed || !retryable(outcome) || isClosed(w.Stop) {
			return outcome, conclude(w.Run, outcome)
		}
	}
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
