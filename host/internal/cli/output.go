package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// output is stdout. It remembers that it could not be written: then the command has failed, whatever it makes of that.
type output struct {
	to io.Writer

	mu     sync.Mutex
	unread bool  // the command goes on without a reader: what it does is more than what it prints
	failed error // the first failure
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if err == nil {
		return n, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unread && errors.Is(err, syscall.EPIPE) {
		return len(p), nil
	}
	err = exit.Errorf(exit.Usage, "stdout cannot be written: %w", err)
	if o.failed == nil {
		o.failed = err
	}
	return n, err
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// outlivesReader has a command go on, and end as if nothing was, when the reader of its stdout leaves.
func outlivesReader(stdout io.Writer) {
	if o, ok := stdout.(*output); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.unread = true
	}
}

// beneath is the file that a child process may inherit as its stdout.
func beneath(stdout io.Writer) io.Writer {
	if o, ok := stdout.(*output); ok {
		return o.to
	}
	return stdout
}

// whileRead returns a context that also ends when the reader of one of a command's outputs has left, as head does: with
// a cause that is syscall.EPIPE, and also while nothing is printed.
func whileRead(ctx context.Context, outputs ...io.Writer) context.Context {
	var watched []unix.PollFd
	for _, to := range outputs {
		file, ok := beneath(to).(*os.File)
		if !ok {
			continue
		}
		if info, err := file.Stat(); err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 {
			watched = append(watched, unix.PollFd{Fd: int32(file.Fd())}) // errors are told unasked
		}
	}
	if len(watched) == 0 {
		return ctx
	}
	ctx, leave := context.WithCancelCause(ctx)
	go func() {
		for {
			n, err := unix.Poll(watched, -1)
			if n > 0 {
				leave(fmt.Errorf("nobody reads it any more: %w", syscall.EPIPE))
			}
			if n > 0 || !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ctx
}

// unread is why a context of whileRead has ended; nil if the readers are there.
func unread(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, syscall.EPIPE) {
		return cause
	}
	return nil
}
