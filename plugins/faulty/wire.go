package main

import (
	"context"
	"errors"
	"math"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// wireFault is a plugin without the SDK, to break the rules that the SDK keeps.
type wireFault struct {
	describe  func()
	nonsense  bool
	described func(*experimentv1.DescribeResponse) // changes the description
	train     func(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error)
	trainOn   trainOn                                // the same, with the request
	server    func([]grpc.ServerOption) *grpc.Server // nil for go-plugin's own
}

func serveWire(version int, fault wireFault) {
	server := fault.server
	if server == nil {
		server = goplugin.DefaultGRPCServer
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{version: {wire.PluginName: wirePlugin{fault: fault}}},
		GRPCServer:       server,
		Logger:           hclog.NewNullLogger(),
	})
}

type wirePlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	fault wireFault
}

func (p wirePlugin) GRPCServer(broker *goplugin.GRPCBroker, server *grpc.Server) error {
	experimentv1.RegisterExperimentServiceServer(server, &wireServer{wireFault: p.fault, broker: broker})
	return nil
}

func (wirePlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client")
}

type wireServer struct {
	experimentv1.UnimplementedExperimentServiceServer
	wireFault
	broker *goplugin.GRPCBroker
}

func (s *wireServer) Describe(context.Context, *experimentv1.DescribeRequest) (*experimentv1.DescribeResponse, error) {
	if s.describe != nil {
		s.describe()
	}
	if s.nonsense {
		return &experimentv1.DescribeResponse{}, nil
	}
	described := &experimentv1.DescribeResponse{
		Name: "faulty", CheckpointPrefix: "faulty",
		ConfigSchema: []byte(`{"type":"object","properties":{"steps":{"type":"integer","default":20}},"additionalProperties":false}`),
	}
	if s.described != nil {
		s.described(described)
	}
	return described, nil
}

func (s *wireServer) Train(ctx context.Context, request *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	if s.train == nil && s.trainOn == nil {
		return &experimentv1.TrainResponse{}, nil
	}
	host, err := s.broker.Dial(request.GetHostServices())
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if s.trainOn != nil {
		return s.trainOn(ctx, host, request)
	}
	return s.train(ctx, host)
}

func (s *wireServer) Stop(context.Context, *experimentv1.StopRequest) (*experimentv1.StopResponse, error) {
	return &experimentv1.StopResponse{}, nil
}

func finishWithoutFinal(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return &experimentv1.TrainResponse{Outcome: experimentv1.Outcome_OUTCOME_FINISHED, Result: map[string]float64{"accuracy": 1}}, nil
}

func refuseConfig(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, status.Error(codes.InvalidArgument, "steps: 20 is not a prime")
}

func leaveGap(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	_, err := experimentv1.NewMetricServiceClient(host).LogMetrics(ctx, &experimentv1.LogMetricsRequest{
		First: 5, Scalars: []*experimentv1.ScalarPoint{{Tag: "loss", Step: 1, Value: 1}},
	})
	return nil, err
}

func logNegativeStep(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return deaf(ctx, host, &experimentv1.LogMetricsRequest{First: 1, Scalars: []*experimentv1.ScalarPoint{{Tag: "loss", Step: math.MaxUint64, Value: 1}}})
}

func reportNegativeStep(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return deaf(ctx, host, &experimentv1.LogMetricsRequest{First: 1, Progress: &experimentv1.Progress{Step: math.MaxUint64}})
}

// deaf sends metrics and finishes, whatever the host makes of them.
func deaf(ctx context.Context, host *grpc.ClientConn, request *experimentv1.LogMetricsRequest) (*experimentv1.TrainResponse, error) {
	_, _ = experimentv1.NewMetricServiceClient(host).LogMetrics(ctx, request)
	stream, err := experimentv1.NewCheckpointServiceClient(host).SaveCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	for _, request := range []*experimentv1.SaveCheckpointRequest{
		{Frame: &experimentv1.SaveCheckpointRequest_Header{Header: &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_FINAL}}},
		{Frame: &experimentv1.SaveCheckpointRequest_Commit{Commit: &experimentv1.SaveCommit{}}},
	} {
		_ = stream.Send(request)
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		return nil, err
	}
	return &experimentv1.TrainResponse{Outcome: experimentv1.Outcome_OUTCOME_FINISHED, LastStep: 1}, nil
}

func saveWithoutCommit(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, save(ctx, host,
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: "state"}},
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: []byte("half of it")}},
	)
}

func saveReservedName(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, save(ctx, host,
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: "manifest.json"}},
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_End{End: &experimentv1.BlobEnd{}}},
	)
}

func saveWrongSum(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, save(ctx, host,
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: "state"}},
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: []byte("weights")}},
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_End{End: &experimentv1.BlobEnd{Size: 7, Crc32C: 1}}},
	)
}

// save sends a header and the frames, and returns what the host makes of a stream that ends there.
func save(ctx context.Context, host *grpc.ClientConn, frames ...*experimentv1.BlobFrame) error {
	return saveWith(ctx, host, &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_MANUAL}, frames...)
}

func saveWith(ctx context.Context, host *grpc.ClientConn, header *experimentv1.SaveHeader, frames ...*experimentv1.BlobFrame) error {
	stream, err := experimentv1.NewCheckpointServiceClient(host).SaveCheckpoint(ctx)
	if err != nil {
		return err
	}
	requests := []*experimentv1.SaveCheckpointRequest{{Frame: &experimentv1.SaveCheckpointRequest_Header{Header: header}}}
	for _, frame := range frames {
		requests = append(requests, &experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Blob{Blob: frame}})
	}
	for _, request := range requests {
		if err := stream.Send(request); err != nil {
			break // the status comes with CloseAndRecv
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}
