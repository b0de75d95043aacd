package supervise

import (
	"context"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// requests returns contexts that are also cancelled when stop.json asks for it, and when what the run is on is gone:
// nothing of it can be saved any more. release ends the looking. A request that was there when the run was locked means
// nothing.
func requests(ctx, stop context.Context, r *run.Run, poll time.Duration) (_, _ context.Context, release func()) {
	ctx, now := context.WithCancel(ctx)
	stop, ask := context.WithCancelCause(stop)
	look := func() {
		err := r.Refresh(ctx)
		if exit.Of(err) == exit.NotFound {
			ask(err)
			now()
		}
		if err != nil {
			return
		}
		request, err := r.StopRequest()
		if err == nil && request.Pending() && !request.Same(r.EarlierStop()) {
			ask(exit.Errorf(request.Code, "stopped by mtt-host stop"))
			if request.Now {
				now()
			}
		}
	}
	look() // a request that is there before an attempt begins must not cost one
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-time.After(poll):
				look()
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, stop, func() {
		now()
		ask(nil)
		<-done
	}
}
