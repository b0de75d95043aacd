package modal

import (
	"context"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/worker"
)

// OtherMachine is what a worker exits with that has not begun its attempt, since the run would not be exact on its machine. Why
// is in what the run waits for.
const OtherMachine exit.Code = 74

// machinesMost is how many machines in a row may be refused by workers: of some processors Modal has many, and the one that the
// run began on may be gone.
const machinesMost = 10

// notBegun says that the worker of an attempt wants another machine.
func notBegun(attempt run.Attempt, result *api.Result) bool {
	return attempt.Start == nil && attempt.End == nil && result != nil && result.Status == api.Failure && exit.Code(result.ExitCode) == OtherMachine
}

// replaceMachine has an attempt begin on another machine than the one that its worker has left.
func (l *life) replaceMachine(ctx context.Context, asked asked, attempt run.Attempt) (worker.Outcome, error) {
	waiting, err := l.run.Waiting()
	if err != nil {
		return worker.Outcome{}, err
	}
	reason := "the machine is another one"
	if waiting != nil && waiting.Attempt == attempt.Number {
		reason = waiting.Reason
	}
	if l.refused++; l.refused >= machinesMost {
		outcome := worker.Outcome{State: run.Interrupted, Attempt: attempt.Number, Step: attempt.Claim.ResumedStep,
			Err: exit.Errorf(exit.Mismatch, "run %s is to be exact, and cannot be on any of %d machines: %s", l.run.ID, l.refused, reason).
				Hint("Try again, or go on without the claim: mtt-host resume %s --exact=false", l.run.ID)}
		return outcome, l.end(ctx, attempt.Number, outcome)
	}
	if err := l.waiting(ctx, attempt, "another machine is asked for, since the run would not be exact: "+reason); err != nil {
		return worker.Outcome{}, err
	}
	err = l.retry(ctx, "forget a Sandbox", func() error { return l.run.RemoveSandbox(attempt.Number) })
	if err != nil {
		return worker.Outcome{}, err
	}
	return l.begin(ctx, asked, attempt, "")
}
