package api_test

import (
	"context"
	"net"
	"path"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
)

// server is a Modal that fails calls as it is told, and answers the others as if it had what they are about.
type server struct {
	pb.UnimplementedModalClientServer

	mu    sync.Mutex
	fails map[string][]error // by the name of the call, for the next ones
	calls map[string]int
}

// newServer starts one that the environment names, until the test ends.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{fails: map[string][]error{}, calls: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := s.next(path.Base(info.FullMethod)); err != nil {
				return nil, err
			}
			answer, err := handle(ctx, request)
			if status.Code(err) == codes.Unimplemented {
				return new(emptypb.Empty), nil // which is any message without its fields
			}
			return answer, err
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := s.next(path.Base(info.FullMethod)); err != nil {
				return err
			}
			return handle(srv, stream)
		}),
	)
	pb.RegisterModalClientServer(serving, s)
	go func() { _ = serving.Serve(listener) }()
	t.Cleanup(serving.Stop)
	t.Setenv("MODAL_SERVER_URL", "http://"+listener.Addr().String())
	t.Setenv("MODAL_TOKEN_ID", "ak-test")
	t.Setenv("MODAL_TOKEN_SECRET", "as-test")
	t.Setenv("MODAL_CONFIG_PATH", "/dev/null")
	return s
}

// fail has the next calls of that name fail so.
func (s *server) fail(call string, errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[call] = append(s.fails[call], errs...)
}

func (s *server) next(call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[call]++
	if len(s.fails[call]) == 0 {
		return nil
	}
	err := s.fails[call][0]
	s.fails[call] = s.fails[call][1:]
	return err
}

func (s *server) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

// told is an error that says when to come again.
func told(code codes.Code, text string, seconds float64) error {
	s, err := status.New(code, text).WithDetails(protoadapt.MessageV1Of(pb.RPCRetryPolicy_builder{RetryAfterSecs: float32(seconds)}.Build()))
	if err != nil {
		panic(err)
	}
	return s.Err()
}

func bare(text string) error { return status.Error(codes.ResourceExhausted, text) }

func connect(t *testing.T, options api.Options) *api.Client {
	t.Helper()
	client, err := api.Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func (s *server) AuthTokenGet(context.Context, *pb.AuthTokenGetRequest) (*pb.AuthTokenGetResponse, error) {
	return pb.AuthTokenGetResponse_builder{Token: "token"}.Build(), nil
}

func (s *server) ImageJoinStreaming(_ *pb.ImageJoinStreamingRequest, stream grpc.ServerStreamingServer[pb.ImageJoinStreamingResponse]) error {
	return stream.Send(pb.ImageJoinStreamingResponse_builder{Result: pb.GenericResult_builder{Status: pb.GenericResult_GENERIC_STATUS_SUCCESS}.Build()}.Build())
}

func (s *server) SandboxGetLogs(_ *pb.SandboxGetLogsRequest, stream grpc.ServerStreamingServer[pb.TaskLogsBatch]) error {
	return stream.Send(pb.TaskLogsBatch_builder{Eof: true}.Build())
}

func (s *server) VolumeListFiles2(*pb.VolumeListFiles2Request, grpc.ServerStreamingServer[pb.VolumeListFiles2Response]) error {
	return nil
}
