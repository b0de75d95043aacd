package modal

import (
	"context"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/price"
	"github.com/mtt-project/mtt/host/internal/run"
)

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

// spent bounds what the run has cost until now, in US dollars.
func spent(r *run.Run, rate run.Rate, attempts []run.Attempt, supervisors []run.Supervisor, now time.Time) (dollars float64) {
	for _, attempt := range attempts {
		if attempt.Sandbox == nil {
			continue
		}
		lived := r.Lived(attempt)
		if attempt.End == nil {
			lived = max(lived, now.Sub(attempt.Sandbox.Time))
		}
		dollars += lived.Seconds() * rate.Attempt
	}
	for i, supervisor := range supervisors {
		until := now
		if supervisor.End != nil {
			until = supervisor.End.Time
		} else if i+1 < len(supervisors) {
			until = supervisors[i+1].Claim.Time
		}
		dollars += max(0, until.Sub(supervisor.Claim.Time)).Seconds() * rate.Supervisor
	}
	return dollars
}

// costLimited returns a context that is also cancelled when the run has cost what it may, less what an orderly end costs.
func (l *life) costLimited(stop context.Context) (context.Context, context.CancelFunc) {
	modal := l.run.Spec.Options.Modal
	if modal.MaxCost == 0 {
		return context.WithCancel(stop)
	}
	stop, ask := context.WithCancelCause(stop)
	ending := time.Duration(l.run.Spec.Options.StopGrace) + untilTerminated
	go func() {
		for {
			attempts, err := l.run.Attempts()
			supervisors, otherErr := l.run.Supervisors()
			if err == nil && otherErr == nil {
				now := time.Now().Add(ending)
				if spent(l.run, modal.Rate, attempts, supervisors, now) >= modal.MaxCost {
					ask(exit.Errorf(exit.TimeLimit, "the cost limit of %g US dollars is used up", modal.MaxCost).
						Hint("Go on with it: mtt-host resume %s --max-cost MORE", l.run.ID))
					return
				}
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
