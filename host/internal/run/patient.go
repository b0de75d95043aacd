package run

import (
	"context"
	"sync"
	"time"
)

// askAgain is how long after a call that has tried for a while a patient one tries again.
const askAgain = time.Second

// Watched returns the run for somebody who watches it until ctx ends, maybe for days: that its volume cannot be reached,
// which every laptop that wakes up meets, then ends no call. It is warned of once, tried again until it can be, and said.
// A call that lasts when ctx ends fails with its cause.
func (r *Run) Watched(ctx context.Context, warn, say func(string)) *Run {
	elsewhere, ok := r.registry.records.(remote)
	if !ok { // it is here
		return r
	}
	elsewhere.ctx = ctx
	elsewhere.volume = &patient{
		Remote: elsewhere.volume,
		lost:   func(err error) { warn("run " + r.ID + " is out of sight, and goes on or not: " + err.Error()) },
		back:   func() { say("run " + r.ID + " is in sight again") },
	}
	registry := *r.registry
	registry.records = elsewhere
	watched := *r
	watched.registry = &registry
	return &watched
}

// patient is a volume elsewhere whose calls wait for better days.
type patient struct {
	Remote
	lost func(error)
	back func()

	mu      sync.Mutex
	waiting int // calls that wait
}

func (p *patient) do(ctx context.Context, call func() error) error {
	err := call()
	if err == nil || ctx.Err() != nil || !p.Passes(err) {
		return err
	}
	p.wait(err)
	for err != nil && p.Passes(err) {
		select {
		case <-time.After(askAgain):
			err = call()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if ctx.Err() != nil {
			break
		}
	}
	p.waited(err)
	return err
}

func (p *patient) wait(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting++; p.waiting == 1 {
		p.lost(err)
	}
}

func (p *patient) waited(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting--; p.waiting == 0 && err == nil {
		p.back()
	}
}

func (p *patient) Put(ctx context.Context, path string, raw []byte, exclusive bool) error {
	return p.do(ctx, func() error { return p.Remote.Put(ctx, path, raw, exclusive) })
}

func (p *patient) Remove(ctx context.Context, path string) error {
	return p.do(ctx, func() error { return p.Remote.Remove(ctx, path) })
}

func (p *patient) Refresh(ctx context.Context, id string) error {
	return p.do(ctx, func() error { return p.Remote.Refresh(ctx, id) })
}

func (p *patient) Live(ctx context.Context, id string) (live, supervised bool, err error) {
	err = p.do(ctx, func() (err error) {
		live, supervised, err = p.Remote.Live(ctx, id)
		return err
	})
	return live, supervised, err
}

func (p *patient) Asked(ctx context.Context, id string, request StopRequest) error {
	return p.do(ctx, func() error { return p.Remote.Asked(ctx, id, request) })
}

func (p *patient) Complete(ctx context.Context, r *Run, info *Info, attempts []Attempt) error {
	return p.do(ctx, func() error { return p.Remote.Complete(ctx, r, info, attempts) })
}
