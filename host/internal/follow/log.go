package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
)

const (
	// lastWords is how long is waited for what the machine of an attempt has printed that was killed. A stream that was just
	// lost is tried again within five seconds, and then has to be read.
	lastWords = 15 * time.Second
	// gapPatience is how long events that a machine has not printed are waited for: a worker has its log synced every 30 s.
	gapPatience = 45 * time.Second
)

// log reads what an attempt logs from two places: its log, which on a remote volume is whole as far as it was synced, and
// what its machine prints, which comes at once, and is there still when the attempt was killed before it had synced. The
// numbers of the events put them in order, without gaps or repetitions. What neither has is skipped, and counted.
type log struct {
	ctx     context.Context
	watch   *Watch
	attempt int
	file    *eventlog.Reader
	stream  *printed // nil until the machine is known

	last    uint64          // number of the last event that was handed out, or counted as missing
	kept    *eventlog.Event // the next one of the file
	printed *eventlog.Event // the next one of the stream
	gap     time.Time       // since when events are waited for; zero: they are not
	whole   bool            // the log is: it has the attempt's end
}

func openLog(ctx context.Context, w *Watch, attempt int) *log {
	return &log{ctx: ctx, watch: w, attempt: attempt, file: eventlog.NewReader(w.run.LogFile(attempt))}
}

// ready tells that there may be more to read of what is printed; nil where nothing is.
func (l *log) ready() <-chan struct{} {
	if l.stream == nil {
		return nil
	}
	return l.stream.ready
}

// next returns the next event; false if there is none yet. over says that no more will come.
func (l *log) next(over bool) (eventlog.Event, bool, error) {
	if err := l.fill(over); err != nil {
		return eventlog.Event{}, false, err
	}
	first, from := l.kept, &l.kept
	if first == nil || l.printed != nil && l.printed.First() < first.First() {
		first, from = l.printed, &l.printed
	}
	if first == nil {
		return eventlog.Event{}, false, nil
	}
	if first.Seq == 0 || first.First() <= l.last+1 {
		*from, l.gap = nil, time.Time{}
		l.last = max(l.last, first.Seq)
		return *first, true, nil
	}
	if !over && l.waitsForGap() {
		return eventlog.Event{}, false, nil
	}
	l.gap = time.Time{}
	missing := missing(*first, l.last)
	l.last = missing.Seq
	return missing, true, nil
}

// missing counts the events between the one with number last and the next one.
func missing(next eventlog.Event, last uint64) eventlog.Event {
	gone := &eventlog.Missing{First: last + 1, Other: next.First() - 1 - last}
	return eventlog.Event{
		Schema: eventlog.Schema, Time: next.Time, Attempt: next.Attempt, Seq: next.First() - 1, Kind: eventlog.Gone, Gone: gone,
		Message: fmt.Sprintf("%s, or not on the volume yet", gone),
	}
}

// waitsForGap says whether the events that the machine has not printed are still to be waited for: not where it prints
// faster than is read.
func (l *log) waitsForGap() bool {
	if l.gap.IsZero() {
		l.gap = time.Now()
		l.watch.hurry()
	}
	return !l.stream.isFull() && time.Since(l.gap) < gapPatience
}

// fill reads the next event of either place, as far as there is one.
func (l *log) fill(over bool) error {
	for l.kept == nil {
		event, ok, err := l.file.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		l.whole = l.whole || event.Kind == eventlog.Ended
		l.kept = l.unseen(event)
	}
	if l.kept != nil && l.kept.Seq > 0 {
		l.kept = l.unseen(*l.kept) // the stream may have had it meanwhile
		if l.kept == nil {
			return l.fill(over)
		}
	}
	if l.stream != nil && l.stream.saidNothing() { // its worker may have left for another machine before it began
		l.stream.cancel()
		l.stream = nil
	}
	if l.stream == nil && !l.whole {
		if err := l.openStream(over); err != nil {
			return err
		}
	}
	for l.stream != nil && (l.printed == nil || l.unseen(*l.printed) == nil) {
		l.printed = nil
		event, ok := l.stream.take(over && !l.whole)
		if !ok {
			break
		}
		l.printed = l.unseen(event)
	}
	return nil
}

// unseen is what an event says that was not handed out yet; nil for nothing.
func (l *log) unseen(event eventlog.Event) *eventlog.Event {
	if event.Seq > 0 && event.Seq <= l.last {
		return nil
	}
	if event.Seq > 0 {
		event = event.Behind(l.last)
	}
	return &event
}

func (l *log) openStream(over bool) error {
	if l.watch.remote == nil {
		return nil
	}
	attempt, err := l.watch.run.Attempt(l.attempt)
	if err != nil || attempt == nil {
		return err
	}
	if prints := l.watch.remote.Prints(*attempt); prints != nil {
		l.stream = print(l.ctx, prints)
	}
	return nil
}

func (l *log) close() {
	l.file.Close()
	if l.stream != nil {
		l.stream.cancel()
	}
}
