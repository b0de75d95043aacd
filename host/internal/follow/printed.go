package follow

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
)

const (
	// maxBuffered bounds, in bytes, what was printed and is not read yet: then the machine's stream waits.
	maxBuffered = 4 << 20
	// maxLine is the length in bytes from which a line is no event.
	maxLine = 4 << 20
)

// printed is the events that the machine of an attempt prints, of which a bounded part is in memory.
type printed struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the machine has ended, and all is read
	ready  chan struct{} // gets something when there may be more to take

	partial []byte // a line that has not ended yet
	tooLong bool   // and its beginning was let go

	mu     sync.Mutex
	room   sync.Cond
	events []sized
	bytes  int
	said   bool             // an event came
	late   <-chan time.Time // when all must have been read
}

type sized struct {
	eventlog.Event
	bytes int
}

// print reads what a machine prints.
func print(ctx context.Context, prints func(ctx context.Context, each func(data string))) *printed {
	ctx, cancel := context.WithCancel(ctx)
	p := &printed{cancel: cancel, done: make(chan struct{}), ready: make(chan struct{}, 1)}
	p.room.L = &p.mu
	context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.room.Broadcast()
	})
	go func() {
		prints(ctx, func(data string) { p.add(ctx, data) })
		close(p.done)
		p.tell()
	}()
	return p
}

func (p *printed) tell() {
	select {
	case p.ready <- struct{}{}:
	default: // that is told already
	}
}

// add splits data into lines.
func (p *printed) add(ctx context.Context, data string) {
	for rest := []byte(data); len(rest) > 0; {
		line, after, complete := bytes.Cut(rest, []byte{'\n'})
		if p.tooLong = p.tooLong || len(p.partial)+len(line) > maxLine; !p.tooLong {
			p.partial = append(p.partial, line...)
		}
		if !complete {
			return
		}
		if !p.tooLong {
			p.line(ctx, p.partial)
		}
		p.partial, p.tooLong, rest = p.partial[:0], false, after
	}
}

// line adds an event, and waits until there is room for it.
func (p *printed) line(ctx context.Context, line []byte) {
	var event eventlog.Event
	if json.Unmarshal(line, &event) != nil || event.Schema != eventlog.Schema {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.bytes > maxBuffered && ctx.Err() == nil {
		p.room.Wait()
	}
	p.events, p.bytes, p.said = append(p.events, sized{event, len(line)}), p.bytes+len(line), true
	p.tell()
}

// saidNothing says that the machine has ended without an event.
func (p *printed) saidNothing() bool {
	select {
	case <-p.done:
	default:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.said
}

// isFull says that the machine prints faster than is read. A nil one is not.
func (p *printed) isFull() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes > maxBuffered
}

// take returns the next event; false if there is none. With toEnd it waits for one until all is read, for a bounded time in
// all.
func (p *printed) take(toEnd bool) (eventlog.Event, bool) {
	for {
		if event, ok := p.pop(); ok {
			return event, true
		}
		if !toEnd || !p.more() {
			return p.pop() // what came before the end
		}
	}
}

func (p *printed) pop() (eventlog.Event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) == 0 {
		return eventlog.Event{}, false
	}
	next := p.events[0]
	p.events, p.bytes = p.events[1:], p.bytes-next.bytes
	p.room.Broadcast()
	return next.Event, true
}

// more waits for more; false: there will be none, or it is too late.
func (p *printed) more() bool {
	if p.late == nil {
		p.late = time.After(lastWords)
	}
	select {
	case <-p.done:
		return false
	default:
	}
	select {
	case <-p.ready:
		return true
	case <-p.done:
		return false
	case <-p.late:
		return false
	}
}
