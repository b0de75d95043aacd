package modal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/run"
)

// follower reads what an attempt logs from two places: the log on the volume, which is whole as far as it was synced, and
// what its Sandbox prints, which is there at once, and there still when the attempt was killed before it had synced. The
// numbers of the events put them in order, without gaps or repetitions.
type follower struct {
	backend *Backend
	run     *run.Run
	attempt int
	file    *eventlog.Reader
	stream  *printed // nil until the Sandbox is known
	last    uint64   // number of the last event that was handed out
	ahead   map[uint64]eventlog.Event
	begun   bool // events have come
	whole   bool // the log on the volume is: it has the attempt's end
}

func newFollower(b *Backend, r *run.Run, attempt int) *follower {
	return &follower{backend: b, run: r, attempt: attempt, file: eventlog.NewReader(r.LogFile(attempt)), ahead: map[uint64]eventlog.Event{}}
}

// lastWords is how long is waited for what the Sandbox of an attempt that was killed has printed. A stream that Modal has
// just not been there for is tried again within five seconds, and then has to be read.
const lastWords = 15 * time.Second

// Read is that of run.Log.
func (f *follower) Read(over bool) ([]eventlog.Event, error) {
	events, err := f.file.Read()
	if err != nil {
		return nil, err
	}
	f.add(events)
	if f.stream == nil && !f.whole {
		if err := f.openStream(); err != nil {
			return nil, err
		}
	}
	if f.stream != nil {
		if over && !f.whole {
			f.stream.end(lastWords)
		}
		f.add(f.stream.take())
	}
	return f.next(over), nil
}

func (f *follower) openStream() error {
	attempts, err := f.run.Attempts()
	if err != nil {
		return err
	}
	for _, attempt := range attempts {
		if attempt.Number == f.attempt && attempt.Sandbox != nil {
			f.stream = f.backend.print(attempt.Sandbox.SandboxID)
		}
	}
	return nil
}

func (f *follower) add(events []eventlog.Event) {
	for _, event := range events {
		if !f.begun { // what a Sandbox printed long ago is not kept
			f.begun = true
			f.last = max(event.First(), 1) - 1
		}
		if event.Seq > f.last {
			event = event.Behind(f.last)
			if f.ahead[event.First()].Kind != eventlog.Gone {
				f.ahead[event.First()] = event
			}
		}
		f.whole = f.whole || event.Kind == eventlog.Ended
	}
}

// next hands out what follows on the last event. An event that has not come yet is waited for, unless all is over: then
// it was lost with the attempt.
func (f *follower) next(over bool) (events []eventlog.Event) {
	for {
		event, ok := f.ahead[f.last+1]
		if !ok {
			break
		}
		events = append(events, event)
		delete(f.ahead, event.First())
		if event.Kind == eventlog.Gone {
			maps.DeleteFunc(f.ahead, func(first uint64, _ eventlog.Event) bool { return first <= event.Seq })
		}
		f.last = event.Seq
	}
	if over {
		rest := make([]eventlog.Event, 0, len(f.ahead))
		for _, event := range f.ahead {
			rest = append(rest, event)
		}
		slices.SortFunc(rest, func(a, b eventlog.Event) int { return cmp.Compare(a.Seq, b.Seq) })
		events = append(events, rest...)
		clear(f.ahead)
	}
	return events
}

// Close is that of run.Log.
func (f *follower) Close() {
	f.file.Close()
	if f.stream != nil {
		f.stream.cancel()
	}
}

// printed is the events that a Sandbox prints.
type printed struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the Sandbox has ended, and all is read

	mu     sync.Mutex
	events []eventlog.Event
}

func (b *Backend) print(sandbox string) *printed {
	ctx, cancel := context.WithCancel(b.ctx)
	p := &printed{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		var partial []byte
		b.client.FollowSandbox(ctx, sandbox, func(data string) {
			partial = append(partial, data...)
			for {
				line, rest, complete := bytes.Cut(partial, []byte{'\n'})
				if !complete {
					return
				}
				partial = rest
				var event eventlog.Event
				if json.Unmarshal(line, &event) == nil && event.Schema == eventlog.Schema {
					p.mu.Lock()
					p.events = append(p.events, event)
					p.mu.Unlock()
				}
			}
		})
	}()
	return p
}

func (p *printed) take() []eventlog.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	events := p.events
	p.events = nil
	return events
}

// end waits up to a time until all is read.
func (p *printed) end(atMost time.Duration) {
	select {
	case <-p.done:
	case <-time.After(atMost):
	}
}
