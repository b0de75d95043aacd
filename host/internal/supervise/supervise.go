// Package supervise starts attempts of a run until it has ended.
package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
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
//
// The contexts are those of Worker.Attempt; a request in stop.json is as good as either.
func Run(ctx, stop context.Context, w *worker.Worker) (worker.Outcome, error) {
	ctx, stop, release := requests(ctx, stop, w.Run)
	defer release()
	allowed := w.Run.Spec.Options.Retries
	delay := firstDelay
	for used := 0; ; {
		outcome, err := w.Attempt(ctx, stop)
		if err != nil {
			return outcome, err
		}
		if outcome.Progressed {
			delay = firstDelay
		} else {
			used++
		}
		if allowed == 0 || used > allowed || !retryable(outcome) || stop.Err() != nil {
			return outcome, conclude(w.Run, outcome)
		}
		attempts, err := w.Run.Attempts()
		if err != nil {
			return outcome, err
		}
		if _, err := w.Run.TimeLeft(attempts); err != nil {
			return stopBetween(w.Run, outcome, err)
		}
		if err := say(w, outcome.Attempt, fmt.Sprintf("the next attempt begins in %s", delay)); err != nil {
			return outcome, err
		}
		select {
		case <-time.After(delay):
		case <-stop.Done():
			return stopBetween(w.Run, outcome, context.Cause(stop))
		}
		delay = min(2*delay, lastDelay)
	}
}

// stopBetween ends the run, for a cause, between its last attempt and another.
func stopBetween(r *run.Run, outcome worker.Outcome, cause error) (worker.Outcome, error) {
	outcome.State = run.Stopped
	outcome.Err = exit.Errorf(exit.Of(cause), "%w, before another attempt; the last one: %w", cause, outcome.Err).
		Hint("%s", exit.NextOf(cause))
	if err := r.AskToStop(run.StopRequest{Code: exit.Of(cause), Followed: true}); err != nil {
		return outcome, err
	}
	return outcome, outcome.Err
}

// say logs what comes between two attempts behind the first of them.
func say(w *worker.Worker, attempt int, message string) error {
	log, err := eventlog.Open(w.Run.LogFile(attempt), attempt, w.Emit)
	if err != nil {
		return err
	}
	defer log.Close()
	log.Say(eventlog.Retrying, "%s", message)
	return nil
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
	err := r.Finish(run.Result{
		State: run.Failed, Error: outcome.Err.Error(), Code: exit.Of(outcome.Err),
		Step: outcome.Step, Attempt: outcome.Attempt,
	})
	if err != nil {
		return err
	}
	return outcome.Err
}
