package supervise

import (
	"context"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// How often a request is looked for by who was told that there is one, and how many times: the record of it may not be
// readable at once.
const (
	toldEvery = 2 * time.Second
	toldLooks = 15
)

// requests returns contexts that are also cancelled when stop.json asks for it, and when what the run is on is gone:
// nothing of it can be saved any more. release ends the looking. A request that was there when the run was locked means
// nothing.
func requests(ctx, stop context.Context, r *run.Run, options Options) (_, _ context.Context, release func()) {
	ctx, now := context.WithCancel(ctx)
	stop, ask := context.WithCancelCause(stop)
	look := func() {
		err := r.Glance(ctx)
		if exit.Of(err) == exit.NotFound {
			ask(err)
			now()
		}
		if err != nil {
			return
		}
		request, err := r.StopRequest()
		if err == nil && request.Pending() && !request.Same(r.EarlierStop()) {
			ask(request.Cause())
			if request.Now {
				now()
			}
		}
	}
	look() // a request that is there before an attempt begins must not cost one
	done := make(chan struct{})
	go func() {
		defer close(done)
		every, told := options.Poll, 0
		for {
			select {
			case <-time.After(every):
			case <-options.Told:
				told = toldLooks
			case <-ctx.Done():
				return
			}
			look()
			if told--; told > 0 && stop.Err() == nil {
				every = min(options.Poll, toldEvery)
			} else {
				every = options.Poll
			}
		}
	}()
	return ctx, stop, func() {
		now()
		ask(nil)
		<-done
	}
}
