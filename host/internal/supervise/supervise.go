// Package supervise starts attempts of a run until it has ended.
package supervise

import (
	"context"
	"errors"
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

// Life lives the attempts of a run, one at a time.
type Life interface {
	// Attempt lives the next attempt, or the one that lives already, to its end. The error is of what comes before or
	// besides; how the attempt went is the outcome. The contexts are those of Worker.Attempt.
	Attempt(ctx, stop context.Context) (worker.Outcome, error)
	// Say tells whoever watches what comes behind an attempt.
	Say(attempt int, message string) error
}

// Options say how a run is lived.
type Options struct {
	// Recover has an attempt that was killed followed by another, which is no retry, unless so many in a row have ended in
	// one way that another would, too.
	Recover bool
	// Streak is how many have until now. It is kept up to date.
	Streak *run.Streak
	// Poll is how often to look for a request to stop, and Told gets something when there may be one.
	Poll time.Duration
	Told <-chan struct{}
}

// Here is how a run is lived on this machine.
func Here() Options { return Options{Poll: 250 * time.Millisecond, Streak: new(run.Streak)} }

// streakMost is how many attempts in a row may end without progress, or for want of memory: more would not help, and each
// costs.
const streakMost = 3

// Run lives attempts until one succeeds, is stopped, or fails with no retry left. An attempt that failed after it had
// committed a newer checkpoint uses no retry up. The error carries the exit code of the run; the run itself is ended
// for good only where it SUCCEEDED or FAILED.
//
// The contexts are those of Worker.Attempt; a request in stop.json is as good as either.
func Run(ctx, stop context.Context, r *run.Run, life Life, options Options) (worker.Outcome, error) {
	ctx, stop, release := requests(ctx, stop, r, options)
	defer release()
	allowed := r.Spec.Options.Retries
	delay := firstDelay
	var last *worker.Outcome
	for used := 0; ; {
		outcome, err := life.Attempt(ctx, stop)
		switch {
		case err != nil && last != nil && stop.Err() != nil && errors.Is(err, context.Cause(stop)): // it has not begun
			return stopBetween(r, *last, context.Cause(stop))
		case err != nil:
			return outcome, err
		}
		last = &outcome
		recover := options.Recover && outcome.State == run.Interrupted
		if outcome.Progressed {
			delay, options.Streak.Fruitless = firstDelay, 0
		} else {
			options.Streak.Fruitless++
			if !recover {
				used++
			}
		}
		if outcome.OutOfMemory {
			options.Streak.OutOfMemory++
		} else {
			options.Streak.OutOfMemory = 0
		}
		switch {
		case !retryable(outcome) || !recover && (allowed == 0 || used > allowed):
			return outcome, conclude(r, outcome)
		case stop.Err() != nil:
			return stopBetween(r, outcome, context.Cause(stop))
		case recover && options.Streak.OutOfMemory >= streakMost:
			outcome.Err = exit.Errorf(exit.Interrupted, "%d attempts in a row have run out of memory; the last one: %w", options.Streak.OutOfMemory, outcome.Err).
				Hint("%s", exit.NextOf(outcome.Err))
			return outcome, outcome.Err
		case recover && options.Streak.Fruitless >= streakMost:
			outcome.Err = exit.Errorf(exit.Interrupted, "%d attempts in a row have ended without progress; the last one: %w", options.Streak.Fruitless, outcome.Err).
				Hint("Look at what they said: mtt-host logs %s\nTry again: mtt-host resume %s", r.ID, r.ID)
			return outcome, outcome.Err
		}
		attempts, err := r.Attempts()
		if err != nil {
			return outcome, err
		}
		if _, err := r.TimeLeft(attempts); err != nil {
			return stopBetween(r, outcome, err)
		}
		wait := delay
		if recover && outcome.Progressed {
			wait = 0
		} else {
			delay = min(2*delay, lastDelay)
		}
		if err := life.Say(outcome.Attempt, fmt.Sprintf("the next attempt begins in %s", wait)); err != nil {
			return outcome, err
		}
		select {
		case <-time.After(wait):
		case <-stop.Done():
			return stopBetween(r, outcome, context.Cause(stop))
		}
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

// retryable says whether another attempt could end otherwise: not if the run has its result or was stopped, and not if
// the outputs cannot be written or the plugin did not take the configuration.
func retryable(outcome worker.Outcome) bool {
	return outcome.State == run.Failed && exit.Of(outcome.Err) != exit.Usage || outcome.State == run.Interrupted && exit.Of(outcome.Err) == exit.Interrupted
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
