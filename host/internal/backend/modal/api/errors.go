package api

import (
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Refusal is an answer of Modal's that says no, for the caller to decide on with errors.Is: ErrNotFound, ErrExists,
// ErrInvalid, ErrPrecondition, or none of them. It has no GRPCStatus method, by which modal-go would know that
// it may try again.
type Refusal struct {
	Text string // in Modal's words
	code codes.Code
	// hasPolicy says that Modal has said to come again, and after, when: see Limit.
	hasPolicy bool
	after     time.Duration
}

func (r *Refusal) Error() string { return r.Text }

// Is is that of package errors.
func (r *Refusal) Is(target error) bool { return target == refusals[r.code] }

// What Modal refuses a call for.
var (
	ErrNotFound     = errors.New("not found on Modal")
	ErrExists       = errors.New("it exists on Modal")
	ErrInvalid      = errors.New("invalid for Modal")
	ErrPrecondition = errors.New("not possible on Modal now")
)

var refusals = map[codes.Code]error{
	codes.NotFound:           ErrNotFound,
	codes.AlreadyExists:      ErrExists,
	codes.InvalidArgument:    ErrInvalid,
	codes.FailedPrecondition: ErrPrecondition,
}

// RefusalOf returns what a call was refused with; nil for another error.
func RefusalOf(err error) *Refusal {
	refused, _ := errors.AsType[*Refusal](err)
	return refused
}

// ErrNoCall says that Modal no longer has a call that mtt needs: no repetition helps.
var ErrNoCall = errors.New("a call that this version of mtt needs is gone from Modal")

// errRefused is what Modal has understood and will not do.
var errRefused = errors.New("refused by Modal")

// Passes says whether what a call has failed with may pass: Modal cannot be reached, or fails. What it refuses or lacks now
// it will tomorrow.
func Passes(err error) bool {
	return exit.Of(err) == exit.Unavailable && !errors.Is(err, ErrNoCall) && !errors.Is(err, errRefused)
}

// Explain gives a refusal that no caller decides on its exit code: only Modal's word is left.
func Explain(err error) error {
	if refused := RefusalOf(err); refused != nil {
		return exit.Errorf(exit.Unavailable, "%w: %s", errRefused, refused.Text)
	}
	return err
}

// final makes an error of a call what the rest of mtt can print or decide on.
func final(name string, err error) error {
	if _, ok := errors.AsType[*exit.Error](err); ok { // it is already
		return err
	}
	refused := refusalOf(err)
	switch text := refused.Text; refused.code {
	case codes.Unauthenticated, codes.PermissionDenied:
		return exit.Errorf(exit.Credentials, "Modal refuses the credentials: %s", text).Hint(getCredentials)
	case codes.Unimplemented:
		return exit.Errorf(exit.Unavailable, "%w: %s: %s", ErrNoCall, name, text).
			Hint("Use a newer version of mtt.")
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return exit.Errorf(exit.Unavailable, "Modal cannot be reached: %s: %s", name, text).
			Hint("Look at the network and at https://status.modal.com, and repeat the command: it goes on.")
	case codes.Internal, codes.Unknown, codes.Aborted:
		return exit.Errorf(exit.Unavailable, "Modal fails at %s: %s", name, text).
			Hint("Look at https://status.modal.com, and repeat the command: it goes on.")
	default:
		return refused
	}
}

// refusalOf reads an error of modal-go's or gRPC's. What has no status failed on the way to a call, for want of a token.
func refusalOf(err error) *Refusal {
	if refused := RefusalOf(err); refused != nil {
		return refused
	}
	if s, ok := status.FromError(err); ok { // also one that is wrapped
		refused := &Refusal{Text: s.Message(), code: s.Code()}
		for _, detail := range s.Details() {
			if policy, ok := detail.(*pb.RPCRetryPolicy); ok {
				refused.hasPolicy, refused.after = true, secondsTold(float64(policy.GetRetryAfterSecs()))
			}
		}
		return refused
	}
	return &Refusal{Text: err.Error(), code: codes.Unauthenticated}
}
