package api

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Tries is how often something is tried that may pass. With the pauses between, that is a quarter of a minute.
const Tries = 9

// do makes a call until it succeeds, or fails with what does not pass, and waits while Modal limits it. A *Refusal is for
// the caller to decide on; all other errors are final and have an exit code. lost says that an earlier try failed which may
// have been carried out.
func (c *Client) do(ctx context.Context, name string, call func(context.Context, pb.ModalClientClient) error) (lost bool, err error) {
	turn := c.NewTurn()
	for {
		lostNow, err := c.try(ctx, name, call)
		lost = lost || lostNow
		limit, limited := err.(*Limit)
		if !limited {
			turn.Done(err)
			return lost, err
		}
		if err := turn.Wait(ctx, limit); err != nil {
			return lost, err
		}
	}
}

// try is do for who sees to limits himself: what Modal limits is a *Limit.
func (c *Client) try(ctx context.Context, name string, call func(context.Context, pb.ModalClientClient) error) (lost bool, err error) {
	renewed := false
	for tried := 0; ; tried++ {
		on := c.connection()
		err := call(ctx, on.raw)
		if err == nil {
			return lost, nil
		}
		if ctx.Err() != nil {
			return lost, context.Cause(ctx)
		}
		refused := refusalOf(err)
		if limit := limitOf(name, refused); limit != nil {
			return lost || refused.code != codes.ResourceExhausted, limit
		}
		switch refused.code {
		case codes.Unauthenticated:
			if renewed {
				return lost, final(name, refused)
			}
			if err := c.renew(ctx, on); err != nil {
				return lost, err
			}
			renewed = true
			continue
		case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Canceled, codes.Aborted:
			if tried+1 < Tries {
				lost = true
				if err := Pause(ctx, tried); err != nil {
					return lost, err
				}
				continue
			}
		}
		return lost, final(name, refused)
	}
}

// Pause waits before the next try: longer each time, up to five seconds, and never as long as others that failed at the
// same moment.
func Pause(ctx context.Context, tried int) error {
	wait := min(5*time.Second, 100*time.Millisecond<<min(tried, 10))
	wait = wait/2 + rand.N(wait/2)
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patient is the longest pause between two tries of what Modal does not let through now.
const patient = 30 * time.Second

// Retry does something until Modal lets it through, and tells say what it waits for. What no patience helps against is
// returned: a *Refusal as it is.
func Retry(ctx context.Context, what string, say func(format string, args ...any), do func() error) error {
	for wait := time.Second; ; wait = min(2*wait, patient) {
		err := do()
		if !Passes(err) {
			return err
		}
		say("cannot %s, and tries again in %s: %v", what, wait, err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
