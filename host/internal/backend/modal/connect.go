// Package modal is mtt on Modal. It is the only package that speaks Modal's protocol, which Modal does not call public:
// what it needs beyond their SDK for Go is called here as the SDK's generated code has it, and converted here.
package modal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	modal "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Client is a connection to Modal, with the credentials that Modal's own tools have: MODAL_TOKEN_ID and
// MODAL_TOKEN_SECRET, or a profile of ~/.modal.toml or MODAL_CONFIG_PATH. It may be used from several goroutines.
type Client struct {
	environment string // "" for the profile's
	blocks      *http.Client
	budget      *semaphore.Weighted // bytes of blocks in motion
	noDigests   atomic.Bool         // the store of blocks does not tell digests by themselves

	mu      sync.Mutex
	current *connection
}

// connection is one of modal-go's clients. Since modal-go does not renew an auth token that is refused, a Client that
// meets that takes another one.
type connection struct {
	sdk *modal.Client
	raw pb.ModalClientClient
	// tokenID and tokenSecret are what modal-go has found, for a supervisor to have too.
	tokenID, tokenSecret string
}

const (
	// callTime is how long one try of a call may take. Modal's answers take milliseconds, and a call about many files seconds.
	callTime = time.Minute
	// connectTime is how long one try to get an auth token may take: modal-go sets no limit, and makes four.
	connectTime = 10 * time.Second
)

// Connect connects to Modal, in the environment of that name, or the one that MODAL_ENVIRONMENT or the profile names. exit.Credentials: there are none, or they are refused; exit.Unavailable: Modal cannot be reached.
func Connect(ctx context.Context, environment string) (*Client, error) {
	first, err := connect(ctx, environment)
	if err != nil {
		return nil, err
	}
	return &Client{environment: environment, blocks: newBlocks(), budget: semaphore.NewWeighted(inMotion), current: first}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.sdk.Close()
	c.blocks.CloseIdleConnections()
	return nil
}

func (c *Client) connection() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// renew replaces a connection whose auth token was refused, unless another goroutine has already.
func (c *Client) renew(ctx context.Context, refused *connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != refused {
		return nil
	}
	fresh, err := connect(ctx, c.environment)
	if err != nil {
		return err
	}
	refused.sdk.Close()
	c.current = fresh
	return nil
}

func connect(ctx context.Context, environment string) (*connection, error) {
	// modal-go renews its token in a goroutine of its own, so the interceptor may run at any time.
	var own atomic.Pointer[grpc.ClientConn] // the one that modal-go sends its headers with
	var last atomic.Pointer[failure]
	var sent atomic.Pointer[metadata.MD]
	intercept := func(called context.Context, method string, request, answer any, over *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		own.Store(over)
		if headers, ok := metadata.FromOutgoingContext(called); ok {
			sent.Store(&headers)
		}
		err := invokeOnce(ctx, called, method, request, answer, over, invoke, options...)
		if err != nil {
			last.Store(&failure{codeOf(err), textOf(err)})
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
	if s, ok := status.FromError(err); err != nil && ok {
		return &failure{s.Code(), s.Message()}
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

// failure is what a call has failed with. It has no GRPCStatus method, by which modal-go would know that it may try again.
type failure struct {
	code codes.Code
	text string
}

func (f *failure) Error() string { return f.text }

// codeOf is the gRPC code of an error of modal-go's. What has none failed on the way to a call, for want of a token.
func codeOf(err error) codes.Code {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if s, ok := status.FromError(err); ok { // also one that is wrapped
		return s.Code()
	}
	return codes.Unauthenticated
}

// textOf is what an error of modal-go's says, without the words of gRPC.
func textOf(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}
