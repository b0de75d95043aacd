package modalfake

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// service answers the calls. What it has no method for is answered UNIMPLEMENTED.
type service struct {
	pb.UnimplementedModalClientServer
	*Server
}

// maxMessage is what modal-go sends and receives at most.
const maxMessage = 100 << 20

func newRPC(s *Server) *grpc.Server {
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		// The clients ping every 30 s, also without a call; grpc-go would hang up on that.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)
			s.log.Warn("a call that modal-fake does not have", "method", path.Base(method))
			return status.Errorf(codes.Unimplemented, "modal-fake does not have %s", path.Base(method))
		}),
	)
	desc := pb.ModalClient_ServiceDesc
	desc.Methods = append(slices.Clone(desc.Methods),
		newerMethod("AppGetLifecycle", service.appGetLifecycle),
		newerMethod("AppFetchLogs", service.appFetchLogs),
		newerMethod("AppCountLogs", service.appCountLogs))
	server.RegisterService(&desc, service{Server: s})
	return server
}

// newerMethod is a call that the generated service does not have: see the package newer.
func newerMethod(name string, call func(service, context.Context, proto.Message) (proto.Message, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		request := new(emptypb.Empty)
		if err := decode(request); err != nil {
			return nil, err
		}
		handler := func(ctx context.Context, request any) (any, error) {
			return call(srv.(service), ctx, request.(proto.Message))
		}
		info := &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + pb.ModalClient_ServiceDesc.ServiceName + "/" + name}
		return interceptor(ctx, request, info, handler)
	}}
}

func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
	defer func() { err = s.echo(ctx, err) }()
	method := path.Base(info.FullMethod)
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	if err := s.refuse(method); err != nil {
		s.log.Info("call refused", "method", method, "error", err)
		return nil, err
	}
	before, after := s.dice.Fail()
	if before != nil {
		s.log.Info("call fails", "method", method, "error", before)
		return nil, before
	}
	answer, err := handler(ctx, request)
	if err != nil {
		err = toStatus(err)
		s.log.Info("call", "method", method, "error", err)
		return nil, err
	}
	s.log.Info("call", "method", method)
	return answer, after
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() { err = s.echo(stream.Context(), err) }()
	method := path.Base(info.FullMethod)
	if err := s.admit(stream.Context()); err != nil {
		return err
	}
	if err := s.refuse(method); err != nil {
		s.log.Info("stream refused", "method", method, "error", err)
		return err
	}
	err = toStatus(handler(srv, &breakingStream{stream, s, method}))
	s.log.Info("stream", "method", method, "error", err)
	return err
}

// echo repeats in an error what its client is known by, as a careless server may.
func (s *Server) echo(ctx context.Context, err error) error {
	if err == nil || !s.dice.Now().EchoCredentials {
		return err
	}
	headers, _ := metadata.FromIncomingContext(ctx)
	var known []string
	for _, name := range []string{"x-modal-token-id", "x-modal-token-secret", "x-modal-auth-token"} {
		known = append(known, headers.Get(name)...)
	}
	of := status.Convert(err).Proto()
	of.Message += " (asked by " + strings.Join(known, ", ") + ")"
	return status.FromProto(of).Err()
}

// admit checks who calls, and makes him wait.
func (s *Server) admit(ctx context.Context) error {
	headers, _ := metadata.FromIncomingContext(ctx)
	header := func(name string) string {
		if values := headers.Get(name); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	s.mu.Lock()
	known := header("x-modal-token-id") == s.auth.TokenID && header("x-modal-token-secret") == s.auth.TokenSecret
	// modal-go sends an auth token with each unary call, the Python client with none of these.
	token := header("x-modal-auth-token")
	valid := token == "" || s.auth.validToken(token)
	s.mu.Unlock()
	if !known {
		return status.Error(codes.Unauthenticated, "modal-fake: the token id and secret are not those of the env file")
	}
	if !valid {
		return status.Error(codes.Unauthenticated, "modal-fake: the auth token has expired or was rotated")
	}
	return sleep(ctx, s.dice.Now().Delay)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// breakingStream breaks after some of its messages, which have arrived.
type breakingStream struct {
	grpc.ServerStream
	server *Server
	method string
}

func (b *breakingStream) SendMsg(m any) error {
	if err := b.ServerStream.SendMsg(m); err != nil {
		return err
	}
	if t := b.server.dice.ThrottleStream(b.method); t != nil {
		return throttledStatus(t)
	}
	return b.server.dice.Drop()
}

// builderVersion is of Modal's image builder, which is not here; clients want one that they know.
const builderVersion = "2025.06"

func (s service) ClientHello(context.Context, *emptypb.Empty) (*pb.ClientHelloResponse, error) {
	return pb.ClientHelloResponse_builder{ImageBuilderVersion: builderVersion}.Build(), nil
}

func (s service) AuthTokenGet(context.Context, *pb.AuthTokenGetRequest) (*pb.AuthTokenGetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := s.auth.token(s.dice.Now().AuthTokenLife)
	return pb.AuthTokenGetResponse_builder{Token: token}.Build(), err
}
