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
	lost  atomic.Int64
}

// chunk is what one Write brought, or, with done, a wish to hear that all before it was written.
type chunk struct {
	text []byte
	done chan<- struct{}
}

// maxQueued is the number of chunks, each about a line, that wait for a slow reader: minutes of a talkative run.
const maxQueued = 4096

func newUnblocked(to io.Writer) *unblocked {
	u := &unblocked{to: to, queue: make(chan chunk, maxQueued)}
	go u.drain()
	return u
}

func (u *unblocked) drain() {
	for next := range u.queue {
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
	select {
	case u.queue <- chunk{text: bytes.Clone(p)}:
	default:
		u.lost.Add(1)
	}
	return len(p), nil
}

// flush waits until all that was queued has been written.
func (u *unblocked) flush() {
	done := make(chan struct{})
	u.queue <- chunk{done: done}
	<-done
}
