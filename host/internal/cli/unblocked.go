package cli

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
)

// unblocked is a writer that keeps nobody waiting: a goroutine of its own writes what is queued, so that a terminal that
// was stopped, or a pipe that nobody reads, holds up neither training nor Ctrl-C. What comes while the queue is full is
// not shown, which is said.
type unblocked struct {
	to    io.Writer
	queue chan chunk
	bytes atomic.Int64 // in the queue
	lost  atomic.Int64
}

// chunk is what one Write brought, or, with done, a wish to hear that all before it was written.
type chunk struct {
	text []byte
	done chan<- struct{}
}

// maxQueued is the number of chunks, each about a line, that wait for a slow reader: minutes of a talkative run. maxBytes
// bounds them where lines are long.
const (
	maxQueued = 4096
	maxBytes  = 4 << 20
)

func newUnblocked(to io.Writer) *unblocked {
	u := &unblocked{to: to, queue: make(chan chunk, maxQueued)}
	go u.drain()
	return u
}

func (u *unblocked) drain() {
	for next := range u.queue {
		u.bytes.Add(-int64(len(next.text)))
		_, _ = u.to.Write(next.text) // a reader that has gone must not end the training it watched
		if lost := u.lost.Swap(0); lost > 0 {
			fmt.Fprintf(u.to, "mtt-host: %d lines were not shown, since nobody read them; the run's log has them\n", lost)
		}
		if next.done != nil {
			close(next.done)
		}
	}
}

// Write never fails and never waits.
func (u *unblocked) Write(p []byte) (int, error) {
	if u.bytes.Add(int64(len(p))) <= maxBytes {
		select {
		case u.queue <- chunk{text: bytes.Clone(p)}:
			return len(p), nil
		default:
		}
	}
	u.bytes.Add(-int64(len(p)))
	u.lost.Add(1)
	return len(p), nil
}

// flush waits until all that was queued has been written.
func (u *unblocked) flush() {
	done := make(chan struct{})
	u.queue <- chunk{done: done}
	<-done
}
