package worker

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// OtherMachineError says that an attempt was not begun, since the run would not be exact on this machine, but on one such as
// it had before.
type OtherMachineError struct{ Reason string }

func (e *OtherMachineError) Error() string { return e.Reason }

// compare makes the key of the attempt, and holds it against those of the attempts that the run goes on from. exit.Mismatch:
// the run is to be exact, and is not. That is an OtherMachineError if nothing but the machine is to blame.
func (w *Worker) compare(ctx context.Context, plan *plan) error {
	var err error
	if plan.key, err = w.key(ctx, plan); err != nil {
		return err
	}
	reason := w.inexact(plan, plan.key)
	switch {
	case reason == "":
	case w.Run.Spec.Options.Exact:
		err := errors.New(reason)
		if before := plan.before(); before != nil && w.inexact(plan, plan.key.OnMachineOf(before.Start.Exactness)) == "" {
			err = &OtherMachineError{reason}
		}
		return exit.Errorf(exit.Mismatch, "run %s is to be exact, and cannot be: %w", w.Run.ID, err).
			Hint("Go on with what it was trained with, or without the claim: mtt-host resume %s --exact=false", w.Run.ID)
	case plan.resume != nil:
		plan.warnings = append(plan.warnings, reason+": exactness is not claimed")
	}
	return nil
}

// inexact says why the run would not be exact if it went on under a key; "" if it would.
func (w *Worker) inexact(plan *plan, key exactness.Key) string {
	claim := plan.claim()
	return w.Run.Spec.Inexact(append(slices.Clone(plan.attempts), run.Attempt{
		Number: plan.attempt,
		Claim:  run.Claim{Attempt: claim.Attempt, ResumedFrom: claim.ResumedFrom, ResumedAttempt: claim.ResumedAttempt},
		Start:  &run.Start{Device: plan.device.Name, Exactness: key, Deterministic: plan.device.Deterministic()},
	}))
}

// key is that of the attempt.
func (w *Worker) key(ctx context.Context, plan *plan) (exactness.Key, error) {
	spec, d := w.Run.Spec, plan.device
	key := exactness.Key{
		Version: exactness.Version, PluginSHA256: spec.Plugin.SHA256,
		Device: d.Name, DeviceModel: d.Model, Devices: d.Count, Driver: d.Driver, CPU: d.CPU, GOARCH: runtime.GOARCH,
		PJRTSHA256: d.PJRTSHA256, Libraries: device.Libraries(plan.environment), Data: map[string]exactness.Data{},
		Variables: exactness.Variables(plan.environment, func(name string) bool { _, secret := w.Secrets[name]; return secret }),
	}
	if d.Name == device.CPU {
		key.Threads = namedThreads(plan.environment)
	}
	if lost := tensorboard.Verify(w.Run.Dir(), plan.kept); lost != nil {
		key.CurvesLost = strings.ReplaceAll(lost.Error(), "\n", "; ")
	}
	for name, dir := range w.data() {
		data, err := digestData(ctx, dir, w.Run.Outputs(), spec.Options.Exact)
		if err != nil {
			return key, exit.Errorf(exit.Usage, "the data %s of run %s cannot be read: %w", name, w.Run.ID, err)
		}
		data.Source = spec.Options.Mounts[name]
		key.Data[name] = data
	}
	return key, nil
}

// namedThreads is the number of threads that an environment names; 0 for none.
func namedThreads(environment map[string]string) int {
	for _, name := range exactness.ThreadVariables {
		if n := exactness.Threads(environment[name]); n > 0 {
			return n
		}
	}
	return 0
}

// setThreads gives XLA as many threads as the attempt had that wrote the checkpoint, whatever this machine has, since how
// sums are split among them changes their bits. The user may name another number, and the first attempt has one for each
// processor, as XLA has by itself.
func (p *plan) setThreads() {
	threads := namedThreads(p.environment)
	if before := p.before(); threads == 0 && before != nil {
		threads = before.Start.Exactness.Threads
	}
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	for _, name := range exactness.ThreadVariables {
		p.environment[name] = strconv.Itoa(threads)
	}
}
