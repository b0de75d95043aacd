package modal

import (
	"context"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Prints is that of run.Remote.
func (b *Backend) Prints(attempt run.Attempt) func(context.Context, func(data string)) {
	if attempt.Sandbox == nil {
		return nil
	}
	return func(ctx context.Context, each func(data string)) {
		b.client.FollowSandbox(ctx, attempt.Sandbox.SandboxID, each)
	}
}

// watch is a run that is watched: the ends of its Sandboxes are waited for, which costs each a call in 45 s, so that they
// need not be listed all the time.
type watch struct {
	ctx     context.Context
	wake    chan struct{}
	pending map[string]bool // the ids of the Sandboxes that are waited for
}

// Wake is that of run.Waker. A run has one watcher at a time: another one takes its place.
func (b *Backend) Wake(ctx context.Context, id string) <-chan struct{} {
	w := &watch{ctx, make(chan struct{}, 1), map[string]bool{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watches == nil {
		b.watches = map[string]*watch{}
	}
	b.watches[id] = w
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.watches[id] == w {
			delete(b.watches, id)
		}
	})
	return w.wake
}

func (b *Backend) isWatched(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.watches[id] != nil
}

// waitFor has a Sandbox of a run waited for, if that is watched.
func (b *Backend) waitFor(id string, sandbox api.SandboxInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.watches[id]
	if w == nil || w.pending[sandbox.ID] {
		return
	}
	w.pending[sandbox.ID] = true
	go func() {
		b.untilEnded(w.ctx, sandbox.ID)
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(w.pending, sandbox.ID)
		b.asked = time.Time{}
		select {
		case w.wake <- struct{}{}:
		default: // that is told already
		}
	}()
}

// untilEnded waits until a Sandbox has ended, or it cannot be known.
func (b *Backend) untilEnded(ctx context.Context, sandbox string) {
	for failures := 0; ctx.Err() == nil; {
		result, err := b.client.WaitSandbox(ctx, sandbox, slice)
		switch {
		case err == nil && result == nil:
			failures = 0
			continue
		case err == nil, !b.Passes(err):
			return
		}
		failures++
		_ = api.Pause(ctx, failures) // its error is that of ctx
	}
}
