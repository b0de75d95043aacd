package follow

import (
	"context"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/run"
)

// askAgain is how long after a call that has tried for a while a patient one tries again.
const askAgain = time.Second

// patient is a remote volume whose calls wait for better days.
type patient struct {
	run.Remote
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

func (p *patient) Asked(ctx context.Context, id string, request run.StopRequest) error {
	return p.do(ctx, func() error { return p.Remote.Asked(ctx, id, request) })
}

func (p *patient) Complete(ctx context.Context, r *run.Run, info *run.Info, attempts []run.Attempt) error {
	return p.do(ctx, func() error { return p.Remote.Complete(ctx, r, info, attempts) })
}
