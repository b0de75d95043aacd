package follow

import (
	"context"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// remindEvery is how often a remote run is reminded of a request: the process that was to see to it may have died.
const remindEvery = 5 * time.Second

// Stop asks until the run has ended: a request that comes between two supervisors of a run is lost with the first, and the
// one that is found may be what an earlier one has ended of. exit.Signalled: ctx has ended before.
func (w *Watch) Stop(ctx context.Context, now bool) error {
	var asked time.Time
	for {
		err := w.look(ctx)
		if err == nil && w.live {
			asked, err = w.ask(now, asked)
		}
		switch {
		case ctx.Err() != nil && asked.IsZero():
			return exit.Errorf(exit.Signalled, "left before run %s was asked to stop", w.run.ID)
		case ctx.Err() != nil:
			return exit.Errorf(exit.Signalled, "run %s was asked to stop, and has not ended yet", w.run.ID)
		case err != nil || !w.live:
			return err
		}
		w.every = min(w.every, remindEvery)
		w.wait(ctx, nil)
	}
}

// ask asks an active run to stop, unless that was done, of which it is reminded now and then. It returns when it was last
// done.
func (w *Watch) ask(now bool, last time.Time) (time.Time, error) {
	request, err := w.run.StopRequest()
	switch {
	case err != nil:
		return last, err
	case !request.Pending(), now && !request.Now:
		return time.Now(), w.run.AskToStop(run.NewStopRequest(now))
	case time.Since(last) >= remindEvery:
		return time.Now(), w.run.RemindToStop(*request)
	default:
		return last, nil
	}
}
