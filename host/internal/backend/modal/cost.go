package modal

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/price"
	"github.com/mtt-project/mtt/host/internal/run"
)

// began is when this process did.
var began = time.Now()

// steadyNow is the time by a clock that is not set while this process runs: what a run may cost is counted in differences of
// what it records.
func steadyNow() time.Time { return began.Add(time.Since(began)).UTC() }

// What a supervisor reserves, and may use at most: it waits, and now and then reads a checkpoint back.
const (
	supervisorCores  = 0.5
	supervisorMemory = 512 // MiB
)

// Rate bounds what a run costs. exit.Usage: a price is not known, or what an attempt may use is not bounded.
func Rate(m run.Modal) (rate run.Rate, err error) {
	if m.CPU == 0 || m.MemoryMiB == 0 {
		return rate, exit.Errorf(exit.Usage, "--max-cost needs --cpu and --memory: Modal bills what a Sandbox uses beyond what it asks for").
			Hint("Say what the run may use at most, such as --cpu 4 --memory 16GiB.")
	}
	if rate.Supervisor, err = price.Rate(nil, supervisorCores, supervisorMemory/1024.); err == nil {
		rate.Attempt, err = price.Rate(m.GPU, m.CPU, float64(m.MemoryMiB)/1024)
	}
	return rate, err
}

// spent bounds what the run has cost until a time, in US dollars. Nobody may have been there to see when something ended: a
// Sandbox lives a day at most.
func spent(rate run.Rate, attempts []run.Attempt, supervisors []run.Supervisor, now time.Time) (dollars float64) {
	for i, attempt := range attempts {
		latest := now
		if i+1 < len(attempts) { // which is claimed when the one before has ended
			latest = attempts[i+1].Claim.Time
		}
		// Another GPU that a resume asks for has not been what earlier attempts were on.
		dollars += billed(attempt, latest).Seconds() * cmp.Or(attempt.Claim.Rate, rate.Attempt)
	}
	for i, supervisor := range supervisors {
		until := earliest(now, supervisor.Claim.Time.Add(run.SandboxLimit))
		if supervisor.End != nil {
			until = earliest(until, supervisor.End.Time)
		} else if i+1 < len(supervisors) {
			until = earliest(until, supervisors[i+1].Claim.Time.Add(lastSync))
		}
		dollars += max(0, until.Sub(supervisor.Claim.Time)).Seconds() * rate.Supervisor
	}
	return dollars
}

// lastSync is how long a Sandbox may live on after its end is recorded: for a last sync, with all its tries, say.
const lastSync = time.Minute

// billed is how long the machine of an attempt was paid for, at most until a time.
func billed(attempt run.Attempt, latest time.Time) time.Duration {
	var from time.Time
	switch {
	case attempt.Sandbox != nil:
		from = attempt.Sandbox.Time
	case attempt.Start != nil: // whoever has claimed it was killed before it could record the Sandbox
		from = attempt.Claim.Time
	default: // it waits for a machine, or never had one
		return 0
	}
	until := earliest(latest, from.Add(run.SandboxLimit))
	switch {
	case attempt.End == nil:
	case !attempt.End.Over.IsZero():
		until = earliest(until, attempt.End.Over)
	default:
		until = earliest(until, attempt.End.Time.Add(lastSync))
	}
	billed := max(0, until.Sub(from))
	if attempt.End != nil { // which a monotonic clock has measured, where times may have been set back
		billed = max(billed, time.Duration(attempt.End.Lived))
	}
	return billed
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// orderly is how long an attempt may take to end that is asked to.
func orderly(r *run.Run) time.Duration {
	return time.Duration(r.Spec.Options.StopGrace) + untilTerminated
}

// CostUp is the error of a run that has cost what it may.
func CostUp(r *run.Run) error {
	return exit.Errorf(exit.TimeLimit, "the cost limit of %g US dollars is used up", r.Spec.Options.Modal.MaxCost).
		Hint("Go on with it: mtt-host resume %s --max-cost MORE", r.ID)
}

// costAt bounds what the run has cost at a time, as far as its records say.
func costAt(r *run.Run, now time.Time) (dollars float64, err error) {
	attempts, err := r.Attempts()
	if err != nil {
		return 0, err
	}
	supervisors, err := r.Supervisors()
	return spent(r.Spec.Options.Modal.Rate, attempts, supervisors, now), err
}

// Affordable is how long an attempt that has just got its machine may train before the run has cost what it may, less what
// an orderly end costs: for when no supervisor is left who would see to it.
func Affordable(r *run.Run) (time.Duration, error) {
	m := r.Spec.Options.Modal
	if m.MaxCost == 0 {
		return math.MaxInt64, nil
	}
	cost, err := costAt(r, steadyNow())
	if err != nil {
		return 0, err
	}
	return price.Limit(m.MaxCost-cost, m.Rate.Attempt+m.Rate.Supervisor) - orderly(r), nil
}

// costLimited returns a context that is also cancelled when the run has cost what it may, less what an orderly end costs.
func (l *life) costLimited(stop context.Context) (context.Context, context.CancelFunc) {
	maxCost := l.run.Spec.Options.Modal.MaxCost
	if maxCost == 0 {
		return context.WithCancel(stop)
	}
	stop, ask := context.WithCancelCause(stop)
	go func() {
		for {
			cost, err := costAt(l.run, steadyNow().Add(orderly(l.run)))
			if err == nil && cost >= maxCost {
				ask(CostUp(l.run))
				return
			}
			select {
			case <-time.After(time.Second):
			case <-stop.Done():
				return
			}
		}
	}()
	return stop, func() { ask(nil) }
}
