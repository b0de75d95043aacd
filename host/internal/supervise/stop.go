package supervise

import (
	"context"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// requests returns contexts that are also cancelled when stop.json asks for it. release ends the looking.
func requests(ctx, stop context.Context, r *run.Run, poll time.Duration) (_, _ context.Context, release func()) {
	ctx, now := context.WithCancel(ctx)
	stop, ask := context.WithCancelCause(stop)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ticker := time.NewTicker(poll); ; {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				ticker.Stop()
				return
			}
			if r.Refresh(ctx) != nil {
				continue
			}
			request, err := r.StopRequest()
			if err != nil || request == nil || request.Followed {
				continue
			}
			ask(exit.Errorf(request.Code, "stopped by mtt-host stop"))
			if request.Now {
				now()
			}
		}
	}()
	return ctx, stop, func() {
		now()
		ask(nil)
		<-done
	}
}
