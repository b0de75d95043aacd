// Package worker lives one attempt of a run: it chooses the checkpoint, claims the attempt, starts the plugin, serves
// it, keeps its checkpoints and metrics, and sees it to its end.
package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Worker runs attempts of one run, whose lock the caller holds.
type Worker struct {
	Run     *run.Run
	Version string               // of this mtt-host
	Emit    func(eventlog.Event) // gets the events of the attempt as they are logged, one at a time; it must not block
	// Sync makes what was written to the volume durable beyond this machine, where it is elsewhere. nil: it is here.
	Sync func(context.Context) error
	// Data are the directories of the run's data, if they are not those that its options name.
	Data map[string]string
	// Secrets are variables that the plugin gets and no record has.
	Secrets map[string]string
	// Executable is where the plugin is, if it is not to be run from the volume.
	Executable string
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
	if err := w.Run.Reopen(w.Run.EarlierStop()); err != nil {
		return Outcome{}, outputs(err)
	}
	if plan.finished() {
		return w.conclude(plan.attempt-1, Outcome{State: run.Succeeded, Attempt: plan.attempt - 1, Step: plan.resume.Step, Result: plan.resume.Result})
	}
	if err := w.claim(plan); err != nil {
		return Outcome{}, err
	}
	return w.record(plan.attempt, w.limited(ctx, stop, plan))
}

// Say logs what comes behind an attempt.
func (w *Worker) Say(attempt int, message string) error {
	log, err := eventlog.Open(w.Run.LogFile(attempt), attempt, w.Emit)
	if err != nil {
		return err
	}
	defer log.Close()
	log.Say(eventlog.Retrying, "%s", message)
	return nil
}

// Claimed lives attempt n, which a supervisor elsewhere has claimed, and for which nobody else writes to the run here.
// It is as Attempt; but the attempt is claimed, so whatever keeps it from beginning is its end. Nothing of a machine's own
// ends the run. An OtherMachineError: the attempt was not begun, and is to be on another machine.
func (w *Worker) Claimed(ctx, stop context.Context, n int) (Outcome, error) {
	plan, err := w.claimed(stop, n)
	if plan == nil {
		return Outcome{}, err
	}
	_ = w.Run.Sweep() // what the attempt before left on the volume; or the next one does
	if other, ok := errors.AsType[*OtherMachineError](err); ok && asked(stop) == nil {
		return Outcome{}, errors.Join(err, w.Run.WriteWaiting(n, other.Reason), plan.sync.now(context.WithoutCancel(ctx)))
	}
	outcome := Outcome{State: run.Interrupted, Step: plan.step(), Err: err}
	if cause := asked(stop); cause != nil {
		outcome.State, outcome.Err = endOf(cause), exit.Errorf(exit.Of(cause), "%w, before training had begun", cause)
	} else if err == nil {
		outcome = w.limited(ctx, stop, plan)
	}
	if outcome.State == run.Interrupted {
		outcome.Err = anotherMay(outcome.Err)
	}
	outcome, err = w.record(n, outcome)
	// Also when there is no time left: without this nobody would know.
	return outcome, anotherMay(errors.Join(err, plan.sync.now(context.WithoutCancel(ctx))))
}

// limited is live within the run's time limit.
func (w *Worker) limited(ctx, stop context.Context, plan *plan) Outcome {
	clock, err := startClock(w.Run, plan.attempt)
	if err != nil {
		return Outcome{State: run.Interrupted, Step: plan.step(), Err: outputs(err)}
	}
	plan.clock = clock
	plan.sync.suspends(clock.suspend, clock.resume)
	stop, release := context.WithTimeoutCause(stop, plan.timeLeft, w.Run.TimeUp())
	defer release()
	outcome := w.live(ctx, stop, plan)
	outcome.Lived = clock.stop()
	return outcome
}

func (w *Worker) data() map[string]string {
	if w.Data != nil {
		return w.Data
	}
	return w.Run.Spec.Options.Mounts
}

// record writes how an attempt has ended.
func (w *Worker) record(n int, outcome Outcome) (Outcome, error) {
	outcome.Attempt = n
	end := run.End{State: outcome.State, Code: exit.Of(outcome.Err), Step: outcome.Step, Cause: eventlog.EndedWell, Lived: run.Duration(outcome.Lived)}
	if outcome.Err != nil {
		end.Cause = outcome.Err.Error()
	}
	if err := w.Run.WriteEnd(n, end); err != nil {
		if outcome.Err != nil {
			return outcome, nil // the disk that cannot hold end.json is what ended the attempt
		}
		return Outcome{}, outputs(err)
	}
	return w.conclude(n, outcome)
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
	log.Measure(plan.clock.elapsed)
	for _, skipped := range plan.skipped {
		log.Write(eventlog.Event{Kind: eventlog.FellBack, Checkpoint: skipped.ID, Message: fmt.Sprintf("skipped a bad checkpoint and fell back to the one before: %v", skipped.Err)})
	}
	for _, warning := range plan.warnings {
		log.Say(eventlog.Warning, "%s", warning)
	}
	defer func() {
		if outcome.Stack != "" {
			log.Say(eventlog.Warning, "where the experiment failed:\n%s", outcome.Stack)
		}
		cause := eventlog.EndedWell
		if outcome.Err != nil {
			cause = outcome.Err.Error()
		}
		log.Write(eventlog.Event{Kind: eventlog.Ended, Step: outcome.Step, Metrics: outcome.Result, Message: eventlog.EndMessage(string(outcome.State), cause)})
	}()
	attempt, err := w.open(ctx, plan, log)
	if err != nil {
		outcome.Err = err
		return outcome
	}
	plan.sync.suspends(attempt.events.Suspend, attempt.events.Resume)
	plan.sync.suspends(func() error { log.Suspend(); return nil }, log.Resume)
	defer plan.sync.forget()
	ending := attempt.train(ctx, stop, plan)
	if err := attempt.close(ctx); err != nil && ending.volume == nil {
		ending.volume = err
	}
	step := max(outcome.Step, attempt.step(ending))
	outcome = ending.outcome()
	outcome.Step = step
	if outcome.State == run.Succeeded {
		outcome.Step = ending.last.Step // that of the result
		for _, warning := range resultWarnings(w.Run.Spec.Metrics, outcome.Result) {
			log.Say(eventlog.Warning, "%s", warning)
		}
	}
	outcome.Progressed = ending.last != nil && ending.last.Step > plan.step()
	return outcome
}

// outputs says that the outputs could not be written.
func outputs(err error) error {
	if limited := limit.Explain(err); limited != nil {
		return limited
	}
	return exit.Errorf(exit.Usage, "the outputs cannot be written: %w", err).
		Hint("Make room, or name another directory with --outputs DIR.")
}

// temporary says that what an attempt needs besides could not be written.
func temporary(err error) error {
	if limited := limit.Explain(err); limited != nil {
		return limited
	}
	return exit.Errorf(exit.Usage, "the temporary directory cannot be written: %w", err).
		Hint("Make room there, or name another one with TMPDIR.")
}
