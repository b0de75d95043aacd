package sdk

import (
	"context"
	"os"
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

// keepLockFromChildren keeps the descriptor that holds the run's lock from the experiment's own child processes, which
// may live longer.
func keepLockFromChildren() {
	if fd, err := strconv.Atoi(os.Getenv(wire.EnvLockFD)); err == nil {
		syscall.CloseOnExec(fd)
	}
}
