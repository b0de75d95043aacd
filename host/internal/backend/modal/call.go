package modal

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// tries is how often something is tried that may pass. With the pauses between, that is a quarter of a minute.
const tries = 9

// do makes a call until it succeeds, or fails with what does not pass. A *failure is for the caller to decide on; all
// other errors are final and have an exit code. tried is how many tries failed before the one that decided: if any
// did, it may have been carried out.
func (c *Client) do(ctx context.Context, name string, call func(context.Context, pb.ModalClientClient) error) (tried int, err error) {
	renewed := false
	for ; ; tried++ {
		on := c.connection()
		err := call(ctx, on.raw)
		if err == nil {
			return tried, nil
		}
		if ctx.Err() != nil {
			return tried, context.Cause(ctx)
		}
		code := codeOf(err)
		switch code {
		case codes.Unauthenticated:
			if renewed {
				return tried, final(name, &failure{code, textOf(err)})
			}
			if err := c.renew(ctx, on); err != nil {
				return tried, err
			}
			renewed = true
			continue
		case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Canceled, codes.Aborted:
			if tried+1 < tries {
				if err := pause(ctx, tried); err != nil {
					return tried, err
				}
				continue
			}
		}
		return tried, final(name, &failure{code, textOf(err)})
	}
}

// final makes an error of a call what the rest of mtt can print or decide on.
func final(name string, failed *failure) error {
	switch text := failed.text; failed.code {
	case codes.Unauthenticated, codes.PermissionDenied:
		return exit.Errorf(exit.Credentials, "Modal refuses the credentials: %s", text).Hint(getCredentials)
	case codes.Unimplemented:
		return exit.Errorf(exit.Unavailable, "%w: %s: %s", errNoCall, name, text).
			Hint("Use a newer version of mtt.")
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return exit.Errorf(exit.Unavailable, "Modal cannot be reached: %s: %s", name, text).
			Hint("Look at the network and at https://status.modal.com, and repeat the command: it goes on.")
	case codes.Internal, codes.Unknown, codes.Aborted:
		return exit.Errorf(exit.Unavailable, "Modal fails at %s: %s", name, text).
			Hint("Look at https://status.modal.com, and repeat the command: it goes on.")
	default:
		return failed
	}
}

// errNoCall is what no repetition helps against.
var errNoCall = errors.New("a call that this version of mtt needs is gone from Modal")

// errRefused is what Modal has understood and will not do.
var errRefused = errors.New("refused by Modal")

// passes says whether what a call has failed with may pass: Modal cannot be reached, or fails. What it refuses or lacks now
// it will tomorrow.
func passes(err error) bool {
	return exit.Of(err) == exit.Unavailable && !errors.Is(err, errNoCall) && !errors.Is(err, errRefused)
}

// pause waits before the next try: longer each time, up to five seconds, and never as long as others that failed at the
// same moment.
func pause(ctx context.Context, tried int) error {
	wait := min(5*time.Second, 100*time.Millisecond<<min(tried, 10))
	wait = wait/2 + rand.N(wait/2)
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
