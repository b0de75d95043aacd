package follow

import (
	"context"
	"iter"

	"github.com/mtt-project/mtt/host/internal/eventlog"
)

// All asks Events for all that was logged.
const All = -1

// Events yields what the attempts of the run have logged, in order: the last so many of what is kept, and with onwards what
// comes, until the run has ended or ctx is cancelled. It holds one event of a log in memory, and of what a remote attempt
// prints a bounded part.
func (w *Watch) Events(ctx context.Context, last int, onwards bool) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		err := w.look(ctx)
		n, skip := 1, 0
		if err == nil {
			n, skip, err = w.from(last)
		}
		for more := true; err == nil && more; n, skip = n+1, 0 {
			more, err = w.attempt(ctx, n, onwards, func(event eventlog.Event) bool {
				if skip > 0 {
					skip--
					return true
				}
				return yield(event, nil)
			})
		}
		if err != nil && ctx.Err() == nil {
			yield(eventlog.Event{}, err)
		}
	}
}

// from returns the attempt, and how many of its events to skip, behind which the last so many events begin.
func (w *Watch) from(last int) (attempt, skip int, err error) {
	newest, err := w.run.Newest()
	if err != nil || last == All {
		return 1, 0, err
	}
	for n := newest; n > 0; n-- {
		events, err := w.count(n)
		if err != nil || events >= last {
			return n, events - last, err
		}
		last -= events
	}
	return 1, 0, nil
}

// count returns how many events of an attempt are kept, whose end counts where nobody was left to log it.
func (w *Watch) count(n int) (events int, err error) {
	log := eventlog.NewReader(w.run.LogFile(n))
	defer log.Close()
	for ended := false; ; events++ {
		event, ok, err := log.Next()
		if err != nil {
			return events, err
		}
		if !ok {
			if _, recorded := w.endOf(n); recorded && !ended {
				events++
			}
			return events, nil
		}
		ended = ended || event.Kind == eventlog.Ended
	}
}

// attempt hands the events of attempt n to take, which ends it by returning false, and says whether there is another
// attempt behind it.
func (w *Watch) attempt(ctx context.Context, n int, onwards bool, take func(eventlog.Event) bool) (more bool, err error) {
	log := openLog(ctx, w, n)
	defer log.close()
	ended := false
	for {
		newest, err := w.run.Newest()
		if err != nil {
			return false, err
		}
		over := newest > n
		for {
			event, ok, err := log.next(over || !w.live)
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			if event.Kind == eventlog.Ended {
				ended = true
				w.hurry()
			}
			if !take(event) {
				return false, nil
			}
		}
		if over || !w.live {
			if event, ok := w.endOf(n); ok && !ended && !take(event) {
				return false, nil
			}
			return over, nil
		}
		if !onwards {
			return false, nil
		}
		if w.wait(ctx, log.ready()) {
			if err := w.look(ctx); err != nil {
				return false, err
			}
		}
		if ctx.Err() != nil {
			return false, nil
		}
	}
}

// endOf is what an attempt that was killed could not log.
func (w *Watch) endOf(n int) (eventlog.Event, bool) {
	end, err := w.run.EndOf(n)
	if err != nil || end == nil {
		return eventlog.Event{}, false
	}
	return eventlog.Event{
		Schema: eventlog.Schema, Time: end.Time, Attempt: n, Kind: eventlog.Ended, Step: end.Step,
		Message: eventlog.EndMessage(string(end.State), end.Cause),
	}, true
}
