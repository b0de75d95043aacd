package api

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	modal "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

const (
	// callTime is how long one try of a call may take. Modal's answers take milliseconds, and a call about many files seconds.
	callTime = time.Minute
	// connectTime is how long one try to get an auth token may take: modal-go sets no limit, and makes four.
	connectTime = 10 * time.Second
)

func connect(ctx context.Context, environment string) (*connection, error) {
	// modal-go renews its token in a goroutine of its own, so the interceptor may run at any time.
	var own atomic.Pointer[grpc.ClientConn] // the one that modal-go sends its headers with
	var last atomic.Pointer[Refusal]
	var sent atomic.Pointer[metadata.MD]
	intercept := func(called context.Context, method string, request, answer any, over *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		own.Store(over)
		if headers, ok := metadata.FromOutgoingContext(called); ok {
			sent.Store(&headers)
		}
		err := invokeOnce(ctx, called, method, request, answer, over, invoke, options...)
		if err != nil {
			last.Store(refusalOf(err))
		}
		return err
	}
	sdk, err := modal.NewClientWithOptions(&modal.ClientParams{
		Environment:            environment,
		Logger:                 slog.New(slog.DiscardHandler), // what matters is in the errors
		GRPCUnaryInterceptors:  []grpc.UnaryClientInterceptor{intercept},
		GRPCStreamInterceptors: []grpc.StreamClientInterceptor{openStream},
	})
	switch {
	case err == nil:
		header := func(name string) string { return strings.Join(sent.Load().Get(name), "") }
		return &connection{sdk, pb.NewModalClientClient(own.Load()), header("x-modal-token-id"), header("x-modal-token-secret")}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case last.Load() != nil:
		return nil, final("AuthTokenGet", last.Load())
	case strings.Contains(err.Error(), "missing token_id"): // modal-go has no type for it
		return nil, exit.Errorf(exit.Credentials, "there are no credentials for Modal").Hint(getCredentials)
	default:
		return nil, exit.Errorf(exit.Credentials, "the credentials for Modal cannot be used: %w", err).Hint(getCredentials)
	}
}

const getCredentials = "Set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or have Modal's command line write ~/.modal.toml: modal token new"

// invokeOnce is the innermost of the interceptors: one try of one call. It gives the try its deadline, and takes from
// modal-go all tries but the first: how often a call is worth trying is decided in one place, in Client.do. Only the
// calls that modal-go makes by itself, for an auth token, stay with it.
func invokeOnce(connecting, called context.Context, method string, request, answer any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if strings.HasSuffix(method, "/AuthTokenGet") {
		called, cancel := context.WithTimeout(called, connectTime)
		defer cancel()
		defer context.AfterFunc(connecting, cancel)()
		return redact(called, invoke(called, method, request, answer, cc, options...))
	}
	called, cancel := context.WithTimeout(called, callTime)
	defer cancel()
	err := redact(called, invoke(called, method, request, answer, cc, options...))
	if found, ok := called.Value(lookupKey{}).(*lookup); ok {
		if volume, ok := answer.(*pb.VolumeGetOrCreateResponse); ok && err == nil {
			found.version = versionOf(volume)
		}
		if app, ok := request.(*pb.AppGetOrCreateRequest); ok {
			found.environment = app.GetEnvironmentName()
		}
	}
	if _, ok := status.FromError(err); err != nil && ok {
		return refusalOf(err)
	}
	return err
}

// lookup is what modal-go does not tell: the version of a volume, and the environment that it looks for an app in.
type lookup struct {
	version     int
	environment string
}

type lookupKey struct{}

// openStream is the innermost of the interceptors of streams: what it opens repeats nothing of the credentials.
func openStream(called context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(called, desc, cc, method, options...)
	if err != nil {
		return nil, redact(called, err)
	}
	return redacted{stream, called}, nil
}

type redacted struct {
	grpc.ClientStream
	called context.Context
}

func (r redacted) RecvMsg(m any) error { return redact(r.called, r.ClientStream.RecvMsg(m)) }
func (r redacted) SendMsg(m any) error { return redact(r.called, r.ClientStream.SendMsg(m)) }

// redact takes out of an error what a server may have repeated of the credentials.
func redact(called context.Context, err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	sent, _ := metadata.FromOutgoingContext(called)
	text := s.Message()
	for _, header := range []string{"x-modal-token-id", "x-modal-token-secret", "x-modal-auth-token"} {
		for _, secret := range sent.Get(header) {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "…")
			}
		}
	}
	return status.Error(s.Code(), text)
}
