package run

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
)

// followPolling is how often a log that is followed is read: often enough for a person.
const followPolling = 100 * time.Millisecond

// refreshEvery is how often what is elsewhere is asked for.
const refreshEvery = time.Second

// All asks Events for all that was logged.
const All = -1

// Events yields what the attempts of the run have logged, in order: the last ones of what is there, and with follow what
// comes, until the run has ended or ctx is cancelled.
func (r *Run) Events(ctx context.Context, last int, follow bool) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		history := []eventlog.Event{} // what is there; nil once it was yielded
		take := func(events []eventlog.Event) bool {
			if history != nil {
				history = append(history, events...)
				if last != All {
					history = history[max(0, len(history)-last):]
				}
				return true
			}
			for _, event := range events {
				if !yield(event, nil) {
					return false
				}
			}
			return true
		}
		for n := 1; ; n++ {
			more, err := r.attemptEvents(ctx, n, follow, take, func() bool {
				events := history
				history = nil
				return take(events)
			})
			if err != nil && ctx.Err() == nil {
				yield(eventlog.Event{}, err)
			}
			if err != nil || !more {
				return
			}
		}
	}
}

// attemptEvents hands the events of attempt n to take, and says whether there is another attempt behind it. caughtUp is
// called when what was there of the newest attempt is read. Either ends it by returning false.
func (r *Run) attemptEvents(ctx context.Context, n int, follow bool, take func([]eventlog.Event) bool, caughtUp func() bool) (more bool, err error) {
	log := r.registry.records.follow(r, n)
	defer log.Close()
	var ended bool
	var refreshed time.Time
	for {
		// In this order: what is over when it is asked has logged all before it is read.
		live, err := r.Live()
		if err != nil {
			return false, err
		}
		if !live || time.Since(refreshed) >= refreshEvery {
			refreshed = time.Now()
			if err := r.Refresh(ctx); err != nil {
				return false, err
			}
		}
		_, err = os.Stat(r.attemptFile(n+1, "claim"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		over := err == nil
		events, err := log.Read(over || !live)
		ended = ended || slices.ContainsFunc(events, func(e eventlog.Event) bool { return e.Kind == eventlog.Ended })
		if (over || !live) && !ended && err == nil {
			if event, ok := r.endEvent(n); ok {
				events = append(events, event)
			}
		}
		if !take(events) || err != nil || over {
			return over && err == nil, err
		}
		if !caughtUp() || !follow || !live {
			return false, nil
		}
		select {
		case <-time.After(followPolling):
		case <-ctx.Done():
			return false, nil
		}
	}
}

// endEvent is what an attempt that was killed could not log.
func (r *Run) endEvent(n int) (eventlog.Event, bool) {
	end, err := readOptional[End](r.attemptFile(n, "end"))
	if err != nil || end == nil {
		return eventlog.Event{}, false
	}
	return eventlog.Event{
		Schema: eventlog.Schema, Time: end.Time, Attempt: n, Kind: eventlog.Ended, Step: end.Step,
		Message: eventlog.EndMessage(string(end.State), end.Cause),
	}, true
}
