package sdk

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/mtt-project/mtt/proto/wire"
)

const (
	// parentPolling is how often the plugin looks whether its host lives. On Linux the kernel ends it sooner.
	parentPolling = 500 * time.Millisecond
	// cancelGrace is what Train gets to return once its context is cancelled.
	cancelGrace = 5 * time.Second
)

// leaveWithHost ends the process when the host is gone: there is nobody left to keep what it learns, and an
// accelerator that costs money.
func leaveWithHost() {
	host, err := strconv.Atoi(os.Getenv(wire.EnvHostPID))
	if err != nil {
		return // a host that does not say
	}
	go func() {
		for os.Getppid() == host {
			time.Sleep(parentPolling)
		}
		os.Exit(1)
	}()
}

// outliveSignals leaves to the host what a signal means that a batch system sends to all processes of a job: the host
// answers it with Stop, so that there is a checkpoint. It catches them, since what is ignored would be ignored by the
// experiment's own child processes too.
func outliveSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

// leaveWhenCancelled ends the process once ctx, which is Train's, is cancelled: nobody waits for its answer any more,
// because the host has given up or is gone. Train gets cancelGrace to return before. The function that is returned says
// that it has.
func leaveWhenCancelled(ctx context.Context) (returned func()) {
	done := make(chan struct{})
	ignore := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(cancelGrace):
		}
		os.Exit(1)
	})
	return func() {
		ignore() // gRPC cancels the context of a call that was answered too
		close(done)
	}
}

// Before main, which may start processes before it calls Serve.
func init() { keepLockFromChildren() }

// keepLockFromChildren keeps the descriptor that holds the run's lock from the experiment's own child processes, which
// may live longer.
func keepLockFromChildren() {
	if fd, err := strconv.Atoi(os.Getenv(wire.EnvLockFD)); err == nil {
		syscall.CloseOnExec(fd)
	}
}
