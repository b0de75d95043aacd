package run

import (
	"math"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// TimeLeft is how long the next attempt may live, after the attempts that the run has had: for ever without a time
// limit. exit.TimeLimit: nothing is left.
func (r *Run) TimeLeft(attempts []Attempt) (time.Duration, error) {
	limit := time.Duration(r.Spec.Options.Timeout)
	if limit == 0 {
		return math.MaxInt64, nil
	}
	for _, attempt := range attempts {
		limit -= r.Lived(attempt)
	}
	if limit <= 0 {
		return 0, r.TimeUp()
	}
	return limit, nil
}

// TimeUp is the error of a run whose time limit is used up.
func (r *Run) TimeUp() error {
	return exit.Errorf(exit.TimeLimit, "the time limit of %s is used up", r.Spec.Options.Timeout).
		Hint("Go on with it: mtt-host resume %s --timeout LONGER", r.ID)
}

// Lived is how long an attempt has lived. Of one that was killed, nobody was left to say when: it is taken to have lived
// until it last logged something, which is once a second where it makes steps. What it waited for a machine does not count.
func (r *Run) Lived(a Attempt) time.Duration {
	if a.End != nil {
		return time.Duration(a.End.Lived)
	}
	last, _ := eventlog.Last(r.LogFile(a.Number), func(eventlog.Event) bool { return true })
	began := a.Claim.Time
	if a.Sandbox != nil {
		began = a.Sandbox.Time
	}
	return max(0, last.Time.Sub(began)) // no log: it had only just begun
}
