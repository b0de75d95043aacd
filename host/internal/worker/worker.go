// Package worker lives one attempt of a run: it chooses the checkpoint, claims the attempt, starts the plugin, serves
// it, keeps its checkpoints and metrics, and sees it to its end.
package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Worker runs attempts of one run, whose lock the caller holds.
type Worker struct {
	Run     *run.Run
	Version string               // of this mtt-host
	Emit    func(eventlog.Event) // gets the events of the attempt as they are logged, one at a time; it must not block
}

// Attempt lives the next attempt of the run. The error is of what comes before it and leaves the run as it was; how
// the attempt itself went is the outcome. A run that needs no further step ends without an attempt.
//
// When stop is cancelled, or the run's time limit is used up, the attempt ends with a checkpoint; the cause is an error with the exit code that this gives.
// When ctx is cancelled, it ends at once, without one.
func (w *Worker) Attempt(ctx, stop context.Context) (Outcome, error) {
	plan, err := w.plan(stop) // nothing can be lost yet
	if cause := asked(stop); cause != nil {
		return Outcome{}, exit.Errorf(exit.Of(cause), "%w, before training had begun", cause)
	}
	if err != nil {
		return Outcome{}, err
	}
	if err := w.Run.Reopen(); err != nil {
		return Outcome{}, outputs(err)
	}
	if plan.finished() {
		return w.conclude(plan.attempt-1, Outcome{State: run.Succeeded, Attempt: plan.attempt - 1, Step: plan.resume.Step, Result: plan.resume.Result})
	}
	if err := w.claim(plan); err != nil {
		return Outcome{}, err
	}
	claimed := time.Now()
	stop, release := context.WithTimeoutCause(stop, plan.timeLeft, w.Run.TimeUp())
	defer release()
	outcome := w.live(ctx, stop, plan)
	outcome.Attempt = plan.attempt
	end := run.End{
		State: outcome.State, Code: exit.Of(outcome.Err), Step: outcome.Step, Cause: "finished",
		Lived: run.Duration(time.Since(claimed)),
	}
	if outcome.Err != nil {
		end.Cause = outcome.Err.Error()
	}
	if err := w.Run.WriteEnd(plan.attempt, end); err != nil {
		if outcome.Err != nil {
			return outcome, nil // the disk that cannot hold end.json is what ended the attempt
		}
		return Outcome{}, outputs(err)
	}
	return w.conclude(plan.attempt, outcome)
}

// conclude writes the result of a run that succeeded.
func (w *Worker) conclude(attempt int, outcome Outcome) (Outcome, error) {
	if outcome.State != run.Succeeded {
		return outcome, nil
	}
	err := w.Run.Finish(run.Result{State: run.Succeeded, Result: outcome.Result, Step: outcome.Step, Attempt: attempt})
	if err != nil {
		return Outcome{}, outputs(err)
	}
	return outcome, nil
}

// live is the attempt itself. Everything that it starts has ended when it returns.
func (w *Worker) live(ctx, stop context.Context, plan *plan) (outcome Outcome) {
	outcome = Outcome{State: run.Interrupted, Step: plan.step()}
	log, err := eventlog.Open(w.Run.LogFile(plan.attempt), plan.attempt, w.Emit)
	if err != nil {
		outcome.Err = outputs(err)
		return outcome
	}
	defer log.Close()
	for _, skipped := range plan.skipped {
		log.Write(eventlog.Event{Kind: eventlog.FellBack, Checkpoint: skipped.ID, Message: fmt.Sprintf("skipped a bad checkpoint and fell back to the one before: %v", skipped.Err)})
	}
	for _, warning := range plan.warnings {
		log.Say(eventlog.Warning, "%s", warning)
	}
	defer func() {
		event := eventlog.Event{Kind: eventlog.Ended, Step: outcome.Step, Metrics: outcome.Result, Message: "attempt finished"}
		if outcome.Err != nil {
			event.Message = fmt.Sprintf("attempt %s: %v", outcome.State, outcome.Err)
		}
		log.Write(event)
	}()
	attempt, err := w.open(ctx, plan, log)
	if err != nil {
		outcome.Err = err
		return outcome
	}
	ending := attempt.train(ctx, stop, plan)
	if err := attempt.close(ctx); err != nil && ending.volume == nil {
		ending.volume = err
	}
	step := max(outcome.Step, attempt.step(ending))
	outcome = ending.outcome()
	outcome.Step = step
	outcome.Progressed = ending.last != nil && ending.last.Step > plan.step()
	return outcome
}

// outputs says that the outputs could not be written.
func outputs(err error) error {
	return exit.Errorf(exit.Usage, "the outputs cannot be written: %w", err).
		Hint("Make room, or name another directory with --outputs DIR.")
}
