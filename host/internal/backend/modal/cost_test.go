package modal

import (
	"math"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/run"
)

// What a run has cost is never more than was counted, and hours in which nothing of it lived are not in it.
func TestTheCostOfARunIsBoundedByItsRecords(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return began.Add(d) }
	claimed := func(rate float64, d time.Duration) run.Attempt {
		return run.Attempt{Claim: run.Claim{Rate: rate, Time: at(d)}}
	}
	attempt := func(rate float64, from time.Duration, end *run.End) run.Attempt {
		a := claimed(rate, 0)
		a.Sandbox, a.End = &run.Sandbox{Time: at(from)}, end
		return a
	}
	started := claimed(1, time.Hour)
	started.Start = &run.Start{Time: at(2 * time.Hour)}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		attempts    []run.Attempt
		supervisors []run.Supervisor
		now         time.Duration
		want        time.Duration // at a rate of 1
	}{
		"one that lives":                         {[]run.Attempt{attempt(1, time.Hour, nil)}, nil, 3 * time.Hour, 2 * time.Hour},
		"one that waits for a machine":           {[]run.Attempt{claimed(1, 0)}, nil, 3 * time.Hour, 0},
		"one that nobody has recorded":           {[]run.Attempt{started}, nil, 3 * time.Hour, 2 * time.Hour},
		"more than its worker knew of":           {[]run.Attempt{attempt(1, 0, &run.End{Lived: run.Duration(time.Minute), Time: at(time.Hour)})}, nil, day, time.Hour + lastSync},
		"a clock that was set back":              {[]run.Attempt{attempt(1, 0, &run.End{Lived: run.Duration(time.Hour), Time: at(-10 * day)})}, nil, day, time.Hour},
		"the next one is behind its end":         {[]run.Attempt{attempt(1, 0, &run.End{Time: at(time.Hour)}), claimed(1, time.Hour+time.Second)}, nil, day, time.Hour + time.Second},
		"at the rate of another GPU":             {[]run.Attempt{attempt(3, 0, &run.End{Time: at(time.Hour)}), claimed(1, time.Hour)}, nil, day, 3 * time.Hour},
		"begun before anybody asked for a limit": {[]run.Attempt{attempt(0, 0, nil)}, nil, time.Hour, time.Hour},
		"nobody saw it end":                      {[]run.Attempt{attempt(1, 0, nil)}, nil, 9 * day, day},
		"judged days later":                      {[]run.Attempt{attempt(1, 0, &run.End{Time: at(9 * day)})}, nil, 9 * day, day},
		"Modal says when it ended":               {[]run.Attempt{attempt(1, 0, &run.End{Time: at(9 * day), Over: at(time.Hour)})}, nil, 9 * day, time.Hour},
		"a supervisor that lives":                {nil, []run.Supervisor{{Claim: run.SupervisorClaim{Time: at(0)}}}, time.Hour, time.Hour},
		"a supervisor that was killed": {nil, []run.Supervisor{
			{Claim: run.SupervisorClaim{Time: at(0)}},
			{Claim: run.SupervisorClaim{Time: at(9 * day)}, End: &run.SupervisorEnd{Time: at(9*day + time.Hour)}},
		}, 10 * day, day + time.Hour},
	} {
		got := spent(run.Rate{Attempt: 1, Supervisor: 1}, c.attempts, c.supervisors, at(c.now))
		if math.Abs(got-c.want.Seconds()) > 1e-3 {
			t.Errorf("%s: %g seconds are counted, want %g", name, got, c.want.Seconds())
		}
	}
}
