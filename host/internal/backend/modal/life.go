package modal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/resume"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/worker"
)

// life lives the attempts of a run in Sandboxes. It implements supervise.Life.
//
// The order is what keeps two attempts from living at once: the end of the one before is certain, since Modal says that
// its Sandbox has ended or knows none of its name; then the claim, which only one can create; then the Sandbox, whose name
// only one can have. A worker that finds another claim than its own leaves.
type life struct {
	backend  *Backend
	run      *run.Run
	store    checkpoint.Store
	number   int              // of the supervisor
	succeeds bool             // one that has handed over, and so left everything as its records say
	version  string           // of mtt-host
	handOver <-chan time.Time // when to leave to a successor
	say      func(format string, args ...any)

	refused int // machines, in a row, by workers

	image   string // id
	secrets []string
	passed  string // name of the Secret with the variables that the run passes on; "" for none
	mounts  []api.Mount
}

// errHandOver ends the supervision, not the attempt.
var errHandOver = errors.New("a successor takes over")

// errSuperseded says that another supervisor lives the run.
var errSuperseded = errors.New("another supervisor has taken over")

// asked is what may be asked of an attempt while it lives: to save and end, and to end at once. The calls that see to it
// have another context, which neither ends.
type asked struct{ stop, now context.Context }

// cause is why it was asked; nil if it was not.
func (a asked) cause() error { return context.Cause(a.stop) }

// Attempt is that of supervise.Life.
func (l *life) Attempt(now, stop context.Context) (worker.Outcome, error) {
	stop, release := l.costLimited(stop)
	defer release()
	ctx, asked := context.WithoutCancel(now), asked{stop, now}
	attempts, err := l.attempts(ctx)
	if err != nil {
		return worker.Outcome{}, err
	}
	if n := len(attempts); n > 0 && attempts[n-1].End == nil {
		return l.goOn(ctx, asked, attempts[n-1])
	}
	var from *checkpoint.Manifest
	var skipped []checkpoint.Skipped
	err = l.retry(ctx, "choose a checkpoint", func() (err error) {
		from, skipped, err = resume.Choose(ctx, l.run, l.store, attempts, l.torn)
		return err
	})
	if err != nil {
		return worker.Outcome{}, err
	}
	for _, bad := range skipped {
		if from == nil {
			l.say("skipped a bad checkpoint, which was never acknowledged: %v", bad.Err)
		} else {
			l.say("skipped a bad checkpoint and fell back to the one before: %v", bad.Err)
		}
	}
	if from != nil && from.Reason == checkpoint.Final {
		outcome := worker.Outcome{State: run.Succeeded, Attempt: len(attempts), Step: from.Step, Result: from.Result}
		return outcome, l.finish(ctx, run.Result{State: run.Succeeded, Result: from.Result, Step: from.Step, Attempt: from.Attempt})
	}
	if _, err := l.run.TimeLeft(attempts); err != nil {
		return worker.Outcome{}, err
	}
	if cause := asked.cause(); cause != nil {
		return worker.Outcome{State: run.Stopped, Err: cause}, l.retry(ctx, "record the stop", func() error {
			return l.run.AskToStop(run.StopRequest{Code: exit.Of(cause), Followed: true})
		})
	}
	claim := run.Claim{
		Attempt: len(attempts) + 1, Hostname: supervisorName(l.run.ID, l.number), HostVersion: l.version,
		PluginSHA256: l.run.Spec.Plugin.SHA256, Rate: l.run.Spec.Options.Modal.Rate.Attempt, Time: steadyNow(),
	}
	if from != nil {
		claim.ResumedFrom, claim.ResumedAttempt, claim.ResumedStep = from.ID, from.Attempt, from.Step
		claim.ResumedEvents = from.Events.Place
	}
	err = l.retry(ctx, "claim an attempt", func() error { return l.run.ClaimNext(claim) })
	if errors.Is(err, fs.ErrExist) {
		return worker.Outcome{}, fmt.Errorf("%w: %w", errSuperseded, err)
	}
	if err != nil {
		return worker.Outcome{}, err
	}
	return l.begin(ctx, asked, run.Attempt{Number: claim.Attempt, Claim: claim}, "")
}

// torn says whether the event file of a checkpoint does not go as far as the checkpoint. Modal says nothing of the order
// in which the files of a commit appear.
func (l *life) torn(m *checkpoint.Manifest) (bool, error) {
	if m.Events.File == "" {
		return false, nil
	}
	entry, err := l.backend.volume.Stat(l.backend.ctx, "runs/"+l.run.ID+"/"+m.Events.File)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return uint64(entry.Size) < m.Events.Bytes, err
}

// attempts reads the attempts, of which none may be another supervisor's to live.
func (l *life) attempts(ctx context.Context) (attempts []run.Attempt, err error) {
	err = l.retry(ctx, "read the run", func() error {
		if err := l.run.Refresh(ctx); err != nil {
			return err
		}
		if err := l.superseded(); err != nil {
			return err
		}
		attempts, err = l.run.Attempts()
		return err
	})
	return attempts, err
}

func (l *life) superseded() error {
	supervisors, err := l.run.Supervisors()
	if err == nil && len(supervisors) > 0 && supervisors[len(supervisors)-1].Number > l.number {
		err = fmt.Errorf("%w: number %d", errSuperseded, supervisors[len(supervisors)-1].Number)
	}
	return err
}

// goOn takes an attempt over that an earlier supervisor has claimed.
func (l *life) goOn(ctx context.Context, asked asked, attempt run.Attempt) (worker.Outcome, error) {
	if attempt.Sandbox != nil {
		var result *api.Result
		err := l.retry(ctx, "look at a Sandbox", func() (err error) {
			result, err = l.backend.client.WaitSandbox(ctx, attempt.Sandbox.SandboxID, 0)
			return err
		})
		switch {
		case result != nil || errors.Is(err, api.ErrNotFound):
			return l.ended(ctx, asked, attempt, result)
		case err != nil:
			return worker.Outcome{}, err
		}
		return l.watch(ctx, asked, attempt)
	}
	sandbox, err := l.find(ctx)
	if err != nil {
		return worker.Outcome{}, err
	}
	if sandbox == "" {
		info, unplaced, err := l.unrecorded(ctx, attempt)
		switch {
		case err != nil:
			return worker.Outcome{}, err
		case info != nil:
			on := machine{info.ID, gpuText(info.Task.GPU), info.Task.Started}
			if attempt.Sandbox, err = l.record(ctx, attempt, on); err != nil {
				return worker.Outcome{}, err
			}
			return l.goOn(ctx, asked, attempt)
		case unplaced && attempt.Start == nil:
			return l.begin(ctx, asked, attempt, "")
		}
	}
	// Without a Sandbox, one that has handed over was waiting for a machine; of one that was killed, that is not certain.
	if sandbox != "" || l.succeeds && attempt.Start == nil {
		return l.begin(ctx, asked, attempt, sandbox)
	}
	return l.ended(ctx, asked, attempt, nil)
}

// begin finds a machine for an attempt that was claimed. sandbox is one that was made for it already; "" for none.
func (l *life) begin(ctx context.Context, asked asked, attempt run.Attempt, sandbox string) (worker.Outcome, error) {
	on, err := l.place(ctx, asked, attempt, sandbox)
	switch {
	case err == nil && on.sandbox == "": // asked to stop before there was one
		cause := asked.cause()
		outcome := worker.Outcome{State: run.Stopped, Attempt: attempt.Number, Step: attempt.Claim.ResumedStep,
			Err: exit.Errorf(exit.Of(cause), "%w, before there was a machine", cause)}
		return outcome, l.end(ctx, attempt.Number, outcome)
	case err == nil:
		if attempt.Sandbox, err = l.record(ctx, attempt, on); err == nil {
			return l.watch(ctx, asked, attempt)
		}
	case exit.Of(err) == exit.Usage && on.sandbox == "": // what was asked for is not to be had, however often it is tried
		outcome := worker.Outcome{State: run.Interrupted, Attempt: attempt.Number, Step: attempt.Claim.ResumedStep, Err: err}
		return outcome, l.end(ctx, attempt.Number, outcome)
	}
	return worker.Outcome{}, l.giveUp(ctx, on.sandbox, err)
}

// record says on the volume where an attempt lives.
func (l *life) record(ctx context.Context, attempt run.Attempt, on machine) (*run.Sandbox, error) {
	record := &run.Sandbox{SandboxID: on.sandbox, AppID: l.backend.app, GPU: on.gpu, Time: on.since.UTC()}
	if former := attempt.Sandbox; former != nil { // in which it was not begun; it is paid for too
		record.Time = former.Time
	}
	return record, l.retry(ctx, "record the Sandbox", func() error {
		err := l.run.WriteSandbox(attempt.Number, *record)
		if errors.Is(err, fs.ErrExist) { // by an earlier supervisor
			return nil
		}
		return err
	})
}

// giveUp ends a Sandbox, if there is one, that nobody would see to: a supervisor that leaves for an error has no successor.
// Where it does have one, or where nothing can be asked of Modal, the Sandbox stays.
func (l *life) giveUp(ctx context.Context, sandbox string, err error) error {
	if sandbox == "" || errors.Is(err, errHandOver) || errors.Is(err, api.ErrNoCall) || exit.Of(err) == exit.Credentials {
		return err
	}
	if endErr := l.terminate(ctx, sandbox); endErr != nil {
		return errors.Join(err, endErr)
	}
	return err
}

const (
	// slice is how long one call waits for the end of a Sandbox.
	slice = 45 * time.Second
	// untilTerminated is how long a worker that was asked to stop has beyond the plugin's own grace: to copy its files, and
	// to sync the volume.
	untilTerminated = 2 * time.Minute
	// nowGrace is how long one has that is to end at once.
	nowGrace = 20 * time.Second
)

// watch sees an attempt to its end.
func (l *life) watch(ctx context.Context, asked asked, attempt run.Attempt) (worker.Outcome, error) {
	id := attempt.Sandbox.SandboxID
	type answer struct {
		result *api.Result
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan answer, 1)
	go func() {
		result, err := l.untilEnd(ctx, id)
		over <- answer{result, err}
	}()
	// Asking may take as long as it wants: what is written to the stdin of a Sandbox may wait there.
	refused := make(chan error, 2)
	ask := func(now bool) {
		line := StopLine
		if exit.Of(asked.cause()) == exit.TimeLimit {
			line = LimitLine
		}
		go func() {
			refused <- l.retry(ctx, "ask a worker to stop", func() error { return askToStop(ctx, l.backend.client, id, line, now) })
		}()
	}
	var terminate <-chan time.Time
	stop, now := asked.stop.Done(), asked.now.Done()
	for {
		select {
		case a := <-over:
			if a.err != nil {
				return worker.Outcome{}, a.err
			}
			return l.ended(ctx, asked, attempt, a.result)
		case <-stop:
			stop = nil
			if asked.now.Err() != nil {
				continue // at once, which comes next
			}
			l.say("asking attempt %d to stop", attempt.Number)
			terminate = time.After(orderly(l.run))
			ask(false)
		case <-now:
			now = nil
			terminate = time.After(nowGrace)
			ask(true)
		case err := <-refused:
			if err != nil {
				return worker.Outcome{}, err
			}
		case <-terminate:
			l.say("attempt %d did not leave in time: its Sandbox is terminated", attempt.Number)
			if err := l.retry(ctx, "terminate a Sandbox", func() error { return l.backend.client.TerminateSandbox(ctx, id) }); err != nil {
				return worker.Outcome{}, err
			}
		case <-l.handOver:
			return worker.Outcome{}, errHandOver
		}
	}
}

// untilEnd waits until Modal says that a Sandbox has ended: that it cannot be reached says nothing. nil: Modal does not
// know it any more.
func (l *life) untilEnd(ctx context.Context, id string) (result *api.Result, err error) {
	for ctx.Err() == nil {
		err = l.retry(ctx, "wait for a Sandbox", func() (err error) {
			result, err = l.backend.client.WaitSandbox(ctx, id, slice)
			return err
		})
		if errors.Is(err, api.ErrNotFound) {
			return nil, nil
		}
		if result != nil || err != nil {
			return result, err
		}
	}
	return nil, context.Cause(ctx)
}

// ended judges an attempt whose Sandbox has ended: by its own records first, then by what Modal says.
func (l *life) ended(ctx context.Context, asked asked, attempt run.Attempt, result *api.Result) (worker.Outcome, error) {
	attempts, err := l.attempts(ctx)
	if err != nil {
		return worker.Outcome{}, err
	}
	for _, now := range attempts {
		if now.Number == attempt.Number {
			attempt = now
		}
	}
	if notBegun(attempt, result) {
		return l.replaceMachine(ctx, asked, attempt)
	}
	l.refused = 0
	outcome := worker.Outcome{Attempt: attempt.Number, Step: max(attempt.Claim.ResumedStep, l.run.LastProgress(attempt.Number).Step)}
	saved, elapsed, err := l.saved(ctx, attempt)
	if err != nil {
		return worker.Outcome{}, err
	}
	outcome.Lived = max(l.run.Lived(attempt), elapsed)
	outcome.Step, outcome.Progressed = max(outcome.Step, saved), saved > attempt.Claim.ResumedStep
	final, err := l.run.Result()
	switch {
	case err != nil:
		return worker.Outcome{}, err
	case final.Succeeded():
		outcome.State, outcome.Step, outcome.Result = run.Succeeded, final.Step, final.Result
		if attempt.End == nil { // killed between the two
			return outcome, l.end(ctx, attempt.Number, outcome)
		}
		return outcome, nil
	case attempt.End != nil:
		outcome.State, outcome.Step = attempt.End.State, attempt.End.Step
		if outcome.State != run.Succeeded {
			outcome.Err = exit.Errorf(attempt.End.Code, "%s", attempt.End.Cause).Hint("%s", l.nextOf(attempt.End))
			return outcome, nil
		}
		// Its result is in its final checkpoint, from which the next attempt takes it.
		outcome.State, outcome.Err = run.Interrupted, exit.Errorf(exit.Interrupted, "killed before it had written its result")
		return outcome, nil
	}
	outcome.State, outcome.Err = l.judge(asked.cause(), result)
	outcome.OutOfMemory = result != nil && result.Status.OutOfMemory() != ""
	l.say("attempt %d has ended: %v", attempt.Number, outcome.Err)
	return outcome, l.endAt(ctx, attempt.Number, outcome, l.over(ctx, attempt))
}

// over is when the Sandbox of an attempt ended, which may have been long before anybody looked; zero where Modal does not
// say.
func (l *life) over(ctx context.Context, attempt run.Attempt) time.Time {
	if attempt.Sandbox == nil {
		return time.Time{}
	}
	return l.task(ctx, attempt.Sandbox.SandboxID).Finished
}

// judge says what the end of a Sandbox means whose worker has left no word. Only what the worker itself would exit with
// is believed of its exit code: a Sandbox that was killed has any.
func (l *life) judge(asked error, result *api.Result) (run.State, error) {
	if asked != nil {
		return run.Stopped, exit.Errorf(exit.Of(asked), "%w; it was ended before it had left by itself", asked)
	}
	if result == nil {
		return run.Interrupted, exit.Errorf(exit.Interrupted, "its Sandbox never was, or is gone")
	}
	code := exit.Code(result.ExitCode)
	switch {
	case result.Status.OutOfMemory() != "":
		return run.Interrupted, exit.Errorf(exit.Interrupted, "its Sandbox ran out of memory: %s (%s)%s; it needs a larger --memory", result.Status.OutOfMemory(), result.Status, because(result)).
			Hint("Give it more: mtt-host resume %s --memory SIZE", l.run.ID)
	case result.Status != api.Failure:
		return run.Interrupted, exit.Errorf(exit.Interrupted, "its Sandbox was ended: %s%s", result.Status, because(result))
	case code == exit.TrainFailed || code == exit.Plugin:
		return run.Failed, exit.Errorf(code, "the experiment failed; what it said is in the log")
	case code == exit.Mismatch:
		return run.Interrupted, l.backend.tampered(l.run)
	case code == exit.Interrupted:
		return run.Interrupted, exit.Errorf(exit.Interrupted, "its worker could not go on, nor record why: the disk of its machine may be full")
	default:
		return run.Interrupted, exit.Errorf(exit.Interrupted, "its Sandbox was ended: %s, exit code %d%s", result.Status, code, because(result))
	}
}

// nextOf is what a person can do about how an attempt has ended by its own word, which has no room for that.
func (l *life) nextOf(end *run.End) string {
	for _, known := range []error{l.run.TimeUp(), CostUp(l.run)} {
		if strings.HasPrefix(end.Cause, known.Error()) {
			return exit.NextOf(known)
		}
	}
	return ""
}

func because(result *api.Result) string {
	if result.Exception == "" {
		return ""
	}
	return ": " + result.Exception
}

// saved is the newest step of which an attempt has left a checkpoint, and how long it had run then; 0 for none.
func (l *life) saved(ctx context.Context, attempt run.Attempt) (step uint64, elapsed time.Duration, err error) {
	err = l.retry(ctx, "list checkpoints", func() error {
		entries, err := checkpoint.Entries(ctx, l.store)
		if err != nil {
			return err
		}
		for entry := range entries {
			if entry.ID == attempt.Claim.ResumedFrom { // older ones are of attempts before
				break
			}
			if m := entry.Manifest; m != nil && m.Attempt == attempt.Number {
				step, elapsed = m.Step, run.Seconds(m.ElapsedSeconds)
				break
			}
		}
		return nil
	})
	return step, elapsed, err
}

// end records how an attempt ended that could not do so itself.
func (l *life) end(ctx context.Context, n int, outcome worker.Outcome) error {
	return l.endAt(ctx, n, outcome, time.Time{})
}

func (l *life) endAt(ctx context.Context, n int, outcome worker.Outcome, over time.Time) error {
	cause := eventlog.EndedWell
	if outcome.Err != nil {
		cause = outcome.Err.Error()
	}
	return l.retry(ctx, "record an attempt's end", func() error {
		err := l.run.WriteEnd(n, run.End{State: outcome.State, Cause: cause, Code: exit.Of(outcome.Err), Step: outcome.Step, Lived: run.Duration(outcome.Lived), Time: steadyNow(), Over: over})
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	})
}

func (l *life) finish(ctx context.Context, result run.Result) error {
	return l.retry(ctx, "record the result", func() error {
		err := l.run.Finish(result)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	})
}

// Say is that of supervise.Life.
func (l *life) Say(attempt int, message string) error {
	l.say("attempt %d: %s", attempt, message)
	return nil
}

// retry does something until Modal lets it through: a supervisor waits for better days, and its attempt trains meanwhile.
// What no patience helps against is returned.
func (l *life) retry(ctx context.Context, what string, do func() error) error {
	return decidable(api.Retry(ctx, what, l.say, do))
}

// decidable leaves refusals that are decided on, and gives what is left an exit code.
func decidable(err error) error {
	if errors.Is(err, api.ErrNotFound) || errors.Is(err, api.ErrExists) {
		return err
	}
	return api.Explain(err)
}
