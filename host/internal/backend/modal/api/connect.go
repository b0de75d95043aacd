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

// connect makes a connection.
func (c *Client) connect(ctx context.Context) (*connection, error) {
	d := dialer{client: c}
	d.ctx.Store(&ctx)
	defer d.ctx.Store(new(context.Background())) // that the command has ended which made it ends no connection
	sdk, err := modal.NewClientWithOptions(&modal.ClientParams{
		Environment:            c.options.Environment,
		Logger:                 slog.New(slog.DiscardHandler), // what matters is in the errors
		GRPCUnaryInterceptors:  []grpc.UnaryClientInterceptor{d.intercept},
		GRPCStreamInterceptors: []grpc.StreamClientInterceptor{openStream},
	})
	switch {
	case err == nil:
		header := func(name string) string { return strings.Join(d.sent.Load().Get(name), "") }
		return &connection{sdk, pb.NewModalClientClient(d.own.Load()), header("x-modal-token-id"), header("x-modal-token-secret")}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case d.last.Load() != nil:
		return nil, final("AuthTokenGet", *d.last.Load())
	case strings.Contains(err.Error(), "missing token_id"): // modal-go has no type for it
		return nil, exit.Errorf(exit.Credentials, "there are no credentials for Modal").Hint(getCredentials)
	default:
		return nil, exit.Errorf(exit.Credentials, "the credentials for Modal cannot be used: %w", err).Hint(getCredentials)
	}
}

const getCredentials = "Set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or have Modal's command line write ~/.modal.toml: modal token new"

// dialer is the innermost of modal-go's interceptors, for one connection. Modal-go renews its auth token in a goroutine of
// its own, so it may be called at any time.
type dialer struct {
	client *Client
	ctx    atomic.Pointer[context.Context] // of who wants the connection, while it is made: modal-go takes none
	own    atomic.Pointer[grpc.ClientConn] // the one that modal-go sends its headers with
	sent   atomic.Pointer[metadata.MD]
	last   atomic.Pointer[error]
}

func (d *dialer) intercept(called context.Context, method string, request, answer any, over *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	d.own.Store(over)
	if headers, ok := metadata.FromOutgoingContext(called); ok {
		d.sent.Store(&headers)
	}
	once := func(called context.Context, atMost time.Duration) error {
		called, cancel := context.WithTimeout(called, atMost)
		defer cancel()
		return redact(called, invoke(called, method, request, answer, over, options...))
	}
	var err error
	if strings.HasSuffix(method, "/AuthTokenGet") {
		err = d.getToken(called, once)
	} else {
		err = giveUpOnce(once(called, callTime))
		tell(called, request, answer, err)
	}
	if err != nil {
		d.last.Store(&err)
	}
	return err
}

// getToken makes the one call that modal-go makes by itself, and so repeats by itself; but not if Modal limits it.
func (d *dialer) getToken(called context.Context, once func(context.Context, time.Duration) error) error {
	called, cancel := context.WithCancel(called)
	defer cancel()
	defer context.AfterFunc(*d.ctx.Load(), cancel)()
	turn := d.client.NewTurn()
	for {
		err := once(called, connectTime)
		if err == nil {
			turn.Done(nil)
			return nil
		}
		limit := limitOf("AuthTokenGet", refusalOf(err))
		if limit == nil {
			return err
		}
		if err := turn.Wait(called, limit); err != nil {
			return err
		}
	}
}

// giveUpOnce takes from modal-go all tries of a call but the first: how often one is worth trying is decided in one place,
// in Client.do.
func giveUpOnce(err error) error {
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

// tell fills in the lookup that a call has in its context, if it has one.
func tell(called context.Context, request, answer any, err error) {
	found, ok := called.Value(lookupKey{}).(*lookup)
	if !ok {
		return
	}
	if volume, ok := answer.(*pb.VolumeGetOrCreateResponse); ok && err == nil {
		found.version = versionOf(volume)
	}
	if app, ok := request.(*pb.AppGetOrCreateRequest); ok {
		found.environment = app.GetEnvironmentName()
	}
}

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
	redacted := s.Proto() // a copy, with the details
	redacted.Message = text
	return status.ErrorProto(redacted)
}
