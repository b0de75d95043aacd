package worker

import (
	"errors"
	"maps"
	"math"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// Outcome is how an attempt ended.
type Outcome struct {
	State run.State // SUCCEEDED, FAILED, STOPPED or INTERRUPTED
	Err   error     // nil if SUCCEEDED; carries the exit code
	Stack string    // where the experiment's error comes from, if it says so; for the log
	// Attempt is the number of the attempt that ended so.
	Attempt int
	Step    uint64
	Result  checkpoint.Metrics
	Lived   time.Duration
	// Progressed says that the attempt committed a checkpoint newer than the one it resumed from.
	Progressed bool
	// OutOfMemory says that its machine had not the memory that the attempt needed.
	OutOfMemory bool
}

// ending is what is known when Train is over.
type ending struct {
	response *experimentv1.TrainResponse // nil if err is set
	err      error                       // of the call
	volume   error                       // the first failure of the volume, or breach of the protocol in a metric
	asked    error                       // why the attempt was asked to end; nil if it was not
	cut      bool                        // it did not in time, or was ended at once
	last     *checkpoint.Manifest        // the newest that the attempt saved; nil for none
}

// outcome classifies the end of an attempt. The causes are looked at from the outside in: what the volume did to the
// plugin, then what was asked of it, then what it did itself.
func (e ending) outcome() Outcome {
	breach, isBreach := errors.AsType[*breachError](e.volume)
	switch {
	case isBreach:
		return protocolBroken(breach.how)
	case exit.Of(e.volume) == exit.Interrupted: // it may go on elsewhere
		return Outcome{State: run.Interrupted, Err: e.volume}
	case e.volume != nil:
		return Outcome{State: run.Interrupted, Err: unwritten(e.volume)}
	case e.cut:
		return Outcome{State: endOf(e.asked), Err: exit.Errorf(exit.Of(e.asked), "%w; the plugin was ended before it had left by itself", e.asked).
			Hint("%s", exit.NextOf(e.asked))}
	case e.err != nil:
		return failed(e.err)
	}
	failure := e.response.GetFailure()
	message, stack := wire.Text(failure.GetMessage(), wire.MaxFailureBytes), wire.Text(failure.GetStack(), wire.MaxFailureBytes)
	switch e.response.GetOutcome() {
	case experimentv1.Outcome_OUTCOME_FINISHED:
		return e.finished()
	case experimentv1.Outcome_OUTCOME_STOPPED:
		if e.asked == nil {
			return protocolBroken("it stopped without having been asked to")
		}
		return Outcome{State: endOf(e.asked), Err: e.asked}
	case experimentv1.Outcome_OUTCOME_FAILED:
		return Outcome{State: run.Failed, Err: exit.Errorf(exit.TrainFailed, "the experiment failed: %s", message), Stack: stack}
	case experimentv1.Outcome_OUTCOME_PANICKED:
		return Outcome{State: run.Failed, Err: exit.Errorf(exit.Plugin, "the experiment panicked: %s\n%s", message, stack)}
	default:
		return protocolBroken("its answer to Train has no outcome")
	}
}

// unwritten says that an attempt has ended since the outputs could not be written.
func unwritten(err error) error {
	if limited := limit.Explain(err); limited != nil {
		return exit.Errorf(exit.Usage, "the outputs could not be written: %w", limited).
			Hint("What was saved before is whole.\n%s\nThen go on with: mtt-host resume RUN", exit.NextOf(limited))
	}
	return exit.Errorf(exit.Usage, "the outputs could not be written: %w", err).
		Hint("What was saved before is whole. Make room, or mend the file system, and go on with: mtt-host resume RUN")
}

// endOf is how an attempt ends that was asked to: it is interrupted where nobody wanted the run to end.
func endOf(asked error) run.State {
	if exit.Of(asked) == exit.Interrupted {
		return run.Interrupted
	}
	return run.Stopped
}

// finished believes a plugin only as far as its final checkpoint goes.
func (e ending) finished() Outcome {
	if err := wire.CheckResult(e.response.GetResult()); err != nil {
		return protocolBroken(err.Error())
	}
	if e.last == nil || e.last.Reason != checkpoint.Final {
		return protocolBroken("it finished without a final checkpoint")
	}
	if !maps.EqualFunc(e.last.Result, checkpoint.Metrics(e.response.GetResult()), same) {
		return protocolBroken("its result is not the one in its final checkpoint")
	}
	return Outcome{State: run.Succeeded, Result: e.last.Result}
}

// same compares two values of a result, where NaN is a value like others.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// failed classifies a call to Train that did not return an outcome.
func failed(err error) Outcome {
	var (
		ended   *plugin.ExitError
		refused *plugin.ConfigError
		known   *exit.Error
	)
	switch {
	case errors.As(err, &refused):
		return Outcome{State: run.Failed, Err: exit.Errorf(exit.Usage, "%w", err).
			Hint("See the keys: mtt-host plugin describe PLUGIN\nThen start another run, with other values.")}
	case errors.As(err, &known): // it did not start, or it stalled
		state := run.Failed
		if known.Code == exit.Interrupted || known.Code == exit.Usage { // killed from outside, or the outputs' fault
			state = run.Interrupted
		}
		return Outcome{State: state, Err: err}
	case !errors.As(err, &ended):
		return protocolBroken(plugin.Refusal(err))
	case ended.Signal != 0:
		return Outcome{State: run.Interrupted, Err: exit.Errorf(exit.Interrupted, "%w", err)}
	case ended.Panicked():
		return Outcome{State: run.Failed, Err: exit.Errorf(exit.Plugin, "the experiment panicked: %w", err)}
	default:
		return Outcome{State: run.Failed, Err: exit.Errorf(exit.Plugin, "the plugin ended in the middle of training: %w", err)}
	}
}

// breachError is a breach of the protocol that a plugin made in a call, whatever it makes of the refusal.
type breachError struct{ how string }

func (b *breachError) Error() string { return b.how }

func protocolBroken(how string) Outcome {
	return Outcome{State: run.Failed, Err: exit.Errorf(exit.Plugin, "the plugin broke the protocol: %s", how)}
}
