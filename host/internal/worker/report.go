package worker

import (
	"maps"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/eventlog"
)

// reporter turns the plugin's progress into step events.
type reporter struct {
	attempt *attempt
	seen    []sighting // of the last window, the oldest first; never empty
}

// sighting is where training was at a time.
type sighting struct {
	step uint64
	time time.Time
}

// window is the time over which the speed is averaged: evaluations and checkpoints make single seconds differ.
const window = 30 * time.Second

func newReporter(a *attempt) *reporter {
	progress, _ := a.metrics.now()
	return &reporter{attempt: a, seen: []sighting{{progress.Step, time.Now()}}}
}

// report logs where training is, if it has moved.
func (r *reporter) report() {
	progress, latest := r.attempt.metrics.now()
	now := sighting{progress.Step, time.Now()}
	if now.step <= r.seen[len(r.seen)-1].step {
		return
	}
	for len(r.seen) > 1 && now.time.Sub(r.seen[1].time) >= window {
		r.seen = r.seen[1:]
	}
	first := r.seen[0]
	r.seen = append(r.seen, now)
	r.attempt.log.Write(eventlog.Event{
		Kind: eventlog.Stepped, Step: now.step, TotalSteps: progress.TotalSteps, Metrics: readable(latest),
		StepsPerSecond: float64(now.step-first.step) / now.time.Sub(first.time).Seconds(),
	})
}

// maxReported bounds the bytes of the tags in one report: it is a line for people, and comes each second.
const maxReported = 16 << 10

// readable is as many of the metrics, in the order of their tags, as a report has room for.
func readable(latest checkpoint.Metrics) checkpoint.Metrics {
	size := 0
	for _, tag := range slices.Sorted(maps.Keys(latest)) {
		if size += len(tag); size > maxReported {
			delete(latest, tag)
		}
	}
	return latest
}
