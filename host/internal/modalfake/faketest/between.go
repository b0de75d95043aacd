package faketest

import (
	"context"
	"errors"
	"io"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Between is a server that hands on to a fake what it does not refuse: a Modal of a later year, which lacks some calls, or
// one that cannot be reached for a while.
type Between struct {
	URL string

	mu      sync.Mutex
	came    map[string]int // calls, by name
	refused []string
	with    codes.Code
	cut     chan struct{} // closed while nothing gets through
	gather  string        // call that waits for others
	missing int           // how many more
	whole   chan struct{} // closed when they are there
}

var errCut = status.Error(codes.Unavailable, "nothing gets through")

// Between starts one until the test ends. It refuses nothing yet.
func (f *Fake) Between(t testing.TB) *Between {
	t.Helper()
	address := strings.TrimPrefix(f.Variable(t, "MODAL_SERVER_URL"), "http://")
	behind, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Between{URL: "http://" + listener.Addr().String(), cut: make(chan struct{}), came: map[string]int{}}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, from grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(from)
		if code := b.refuses(path.Base(method)); code != codes.OK {
			return status.Errorf(code, "there is no %s", path.Base(method))
		}
		ctx, cancel := context.WithCancel(from.Context())
		defer cancel()
		if !b.gathered(ctx, path.Base(method)) {
			return status.FromContextError(ctx.Err()).Err()
		}
		cut := b.isCut()
		select {
		case <-cut:
			return errCut
		default:
		}
		go func() {
			select {
			case <-cut:
				cancel()
			case <-ctx.Done():
			}
		}()
		err := handOn(ctx, from, behind, method)
		select {
		case <-cut:
			return errCut
		default:
			return err
		}
	}))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		behind.Close()
	})
	return b
}

// Refuse has these calls answered UNIMPLEMENTED from now on, and all others handed on.
func (b *Between) Refuse(calls ...string) { b.RefuseWith(codes.Unimplemented, calls...) }

// RefuseWith is Refuse with another code than UNIMPLEMENTED.
func (b *Between) RefuseWith(code codes.Code, calls ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused, b.with = calls, code
}

// Cut has nothing get through until Mend: calls fail, and streams break.
func (b *Between) Cut() { close(b.isCut()) }

// Mend ends what Cut has begun.
func (b *Between) Mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = make(chan struct{})
}

func (b *Between) isCut() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

// Gather has the next n calls of that name wait until all of them are there.
func (b *Between) Gather(n int, call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gather, b.missing, b.whole = call, n, make(chan struct{})
}

// gathered waits until a call may go on. One that is given up does not count.
func (b *Between) gathered(ctx context.Context, call string) bool {
	b.mu.Lock()
	if call != b.gather {
		b.mu.Unlock()
		return true
	}
	if b.missing--; b.missing == 0 {
		close(b.whole)
	}
	whole := b.whole
	b.mu.Unlock()
	select {
	case <-whole:
		return true
	case <-ctx.Done():
		b.mu.Lock()
		b.missing++
		b.mu.Unlock()
		return false
	}
}

// Came is how often such a call has come, whatever became of it.
func (b *Between) Came(call string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.came[call]
}

// refuses returns the code with which a call is refused; codes.OK for one that is not.
func (b *Between) refuses(call string) codes.Code {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.came[call]++
	if slices.Contains(b.refused, call) {
		return b.with
	}
	return codes.OK
}

// handOn makes the call that comes in: one request, any number of answers. An empty message keeps what it does not know,
// so that it can stand for any.
func handOn(ctx context.Context, from grpc.ServerStream, behind *grpc.ClientConn, method string) error {
	headers, _ := metadata.FromIncomingContext(ctx)
	to, err := behind.NewStream(metadata.NewOutgoingContext(ctx, headers), &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	request := new(emptypb.Empty)
	if err := from.RecvMsg(request); err != nil {
		return err
	}
	if err := to.SendMsg(request); err != nil {
		return err
	}
	if err := to.CloseSend(); err != nil {
		return err
	}
	for {
		answer := new(emptypb.Empty)
		if err := to.RecvMsg(answer); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := from.SendMsg(answer); err != nil {
			return err
		}
	}
}
