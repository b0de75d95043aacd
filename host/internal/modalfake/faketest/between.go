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

// Between is a server that hands on to a fake what it does not refuse: a Modal of a later year, which lacks some calls.
type Between struct {
	URL string

	mu      sync.Mutex
	refused []string
	with    codes.Code
}

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
	b := &Between{URL: "http://" + listener.Addr().String()}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, from grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(from)
		if code := b.refuses(path.Base(method)); code != codes.OK {
			return status.Errorf(code, "there is no %s", path.Base(method))
		}
		return handOn(from, behind, method)
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

// refuses returns the code with which a call is refused; codes.OK for one that is not.
func (b *Between) refuses(call string) codes.Code {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Contains(b.refused, call) {
		return b.with
	}
	return codes.OK
}

// handOn makes the call that comes in: one request, any number of answers. An empty message keeps what it does not know,
// so that it can stand for any.
func handOn(from grpc.ServerStream, behind *grpc.ClientConn, method string) error {
	headers, _ := metadata.FromIncomingContext(from.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(from.Context(), headers))
	defer cancel()
	to, err := behind.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
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
