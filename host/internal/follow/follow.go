// Package follow watches a run from another process: its events, its end, and what becomes of a request to stop it. It
// reads the run's records, which for a remote volume are a mirror, and knows no backend.
package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/mtt-project/mtt/host/internal/run"
)

// How often a run is looked at.
const (
	// localEvery is for records on this machine, where a look costs microseconds.
	localEvery = 100 * time.Millisecond
	// soonest and latest are for remote records, where a look costs calls that are limited per account: soon after something has
	// changed, and more and more rarely while nothing does. What must not wait for that wakes the watch.
	soonest = time.Second
	latest  = 30 * time.Second
)

// Watch is a run that is watched. It is not for several goroutines.
type Watch struct {
	run    *run.Run
	remote run.Remote // nil: the records are on this machine
	woken  <-chan struct{}
	warn   func(text string)
	queue  func(text string)

	live     bool   // when it was last looked at
	known    string // what was seen then
	warned   string
	queued   string
	every    time.Duration
	lookedAt time.Time
}

// Notices are what a watch says besides; each may be nil.
type Notices struct {
	Warn    func(text string) // something may be wrong
	Say     func(text string) // it is not any more
	Warning func(text string) // of the run itself, each text once
	Queued  func(text string) // what the run waits for, each text once
}

// New watches a run until ctx ends, maybe for days: that its remote volume cannot be reached, which every laptop that wakes
// up meets, ends nothing. It is warned of once, tried again until it can be, and said.
func New(ctx context.Context, r *run.Run, notices Notices) *Watch {
	w := Once(r)
	if w.remote == nil {
		return w
	}
	w.warn, w.queue = notices.Warning, notices.Queued
	if waker, ok := w.remote.(run.Waker); ok {
		w.woken = waker.Wake(ctx, r.ID)
	}
	w.run = r.Through(ctx, &patient{
		Remote: w.remote,
		lost: func(err error) {
			tell(notices.Warn, fmt.Sprintf("run %s is out of sight, and goes on or not: %v", r.ID, err))
		},
		back: func() { tell(notices.Say, fmt.Sprintf("run %s is in sight again", r.ID)) },
	})
	return w
}

// Once returns the run for reading what there is of it now, which fails where its volume cannot be reached.
func Once(r *run.Run) *Watch {
	w := &Watch{run: r, remote: r.Remote(), every: localEvery}
	if w.remote != nil {
		w.every = soonest
	}
	return w
}

func tell(to func(string), text string) {
	if to != nil {
		to(text)
	}
}

// Run is the run. Its calls wait for better days, as those of the watch do.
func (w *Watch) Run() *run.Run { return w.run }

// look brings what is known of the run up to date. In this order: what is over when it is asked has logged all before it is
// read.
func (w *Watch) look(ctx context.Context) error {
	w.lookedAt = time.Now()
	live, err := w.run.Live()
	if err != nil {
		return err
	}
	w.live = live
	if w.remote == nil {
		return nil
	}
	if err := w.run.Refresh(ctx); err != nil {
		return err
	}
	info, err := w.run.Info()
	if err != nil {
		return nil // which is for those to say who want to know more than that it goes on
	}
	if info.Warning != "" && info.Warning != w.warned {
		w.warned = info.Warning
		tell(w.warn, w.warned)
	}
	if info.Waiting != "" && info.Waiting != w.queued {
		w.queued = info.Waiting
		tell(w.queue, w.queued)
	}
	known := fmt.Sprint(info.State, len(info.Attempts), info.SandboxIDs, live)
	if w.every = min(2*w.every, latest); known != w.known {
		w.known, w.every = known, soonest
	}
	return nil
}

// wait waits until it is time for a look, or ctx ends; or until there may be something to read, which ready tells. It says
// whether it is time for a look.
func (w *Watch) wait(ctx context.Context, ready <-chan struct{}) (look bool) {
	for {
		due := time.NewTimer(time.Until(w.lookedAt.Add(w.every)))
		select {
		case <-due.C:
			return true
		case <-w.woken:
			due.Stop()
			w.hurry()
		case <-ready:
			due.Stop()
			return false
		case <-ctx.Done():
			due.Stop()
			return false
		}
	}
}

// hurry has the next look come soon: something has changed.
func (w *Watch) hurry() {
	if w.remote != nil {
		w.every = soonest
	}
}

// End waits until no process executes the run any more. An error is the cause of ctx, or that the run cannot be looked at.
func (w *Watch) End(ctx context.Context) error {
	for {
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil || !w.live:
			return err
		}
		w.wait(ctx, nil)
	}
}
