package faketest

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	modal "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Client is modal-go, connected to a fake, with its connection for the calls that it does not wrap.
type Client struct {
	*modal.Client
	Raw pb.ModalClientClient
}

// Client connects modal-go until the test ends. It sets variables of the environment, so the test must not be parallel.
func (f *Fake) Client(t *testing.T) *Client {
	t.Helper()
	f.Setenv(t)
	var connection *grpc.ClientConn
	keep := func(ctx context.Context, method string, request, answer any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		connection = cc // the one that carries modal-go's headers
		return invoke(ctx, method, request, answer, cc, opts...)
	}
	c, err := modal.NewClientWithOptions(&modal.ClientParams{GRPCUnaryInterceptors: []grpc.UnaryClientInterceptor{keep}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &Client{Client: c, Raw: pb.NewModalClientClient(connection)}
}
