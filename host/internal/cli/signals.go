package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// signals turns Ctrl-C, SIGTERM and a terminal that is closed into what a run makes of them.
type signals struct {
	// stop is cancelled at the first. Nothing can be lost before an attempt begins, so it ends the preparations too.
	stop context.Context
	// now is cancelled at the second.
	now context.Context
}

// catch takes the signals of the process until release is called. The contexts outlast that: the run may have to be asked
// how it has ended.
func catch(ctx context.Context) (caught signals, release func()) {
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(received, syscall.SIGHUP)
	}
	now, end := context.WithCancel(ctx)
	stop, ask := context.WithCancelCause(now)
	done := make(chan struct{})
	go func() {
		for act := func() { ask(exit.Errorf(exit.Signalled, "stopped on request")) }; ; act = end {
			select {
			case <-received:
				act()
			case <-done:
				return
			}
		}
	}()
	return signals{stop: stop, now: now}, sync.OnceFunc(func() {
		signal.Stop(received)
		close(done)
	})
}
