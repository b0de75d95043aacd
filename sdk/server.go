package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// server answers the host. It is an Experiment without its type parameter.
type server struct {
	experimentv1.UnimplementedExperimentServiceServer

	name, version, summary, prefix string
	schema                         json.RawMessage
	devices                        []string
	metrics                        map[string]Direction
	inexact                        bool
	train                          func(config []byte) (func(*Run) (Result, error), error)

	stderr  *os.File // the process's own, before go-plugin puts its pipe there
	broker  *goplugin.GRPCBroker
	stop    atomic.Bool // the host has asked to stop; kept if it does so before Train has begun
	begun   atomic.Bool
	running sync.WaitGroup
}

func newServer[C any](e Experiment[C]) (*server, error) {
	schema, err := schemaOf(e.Defaults)
	if err != nil {
		return nil, err
	}
	s := &server{
		name: e.Name, version: e.Version, summary: e.Summary, prefix: e.CheckpointPrefix,
		stderr: os.Stderr,
		schema: schema, devices: e.Devices, metrics: e.Metrics, inexact: e.Inexact,
	}
	if s.prefix == "" {
		s.prefix = s.name
	}
	if e.Train != nil {
		s.train = func(raw []byte) (func(*Run) (Result, error), error) {
			config, err := parseConfig(e.Defaults, raw)
			return func(run *Run) (Result, error) { return e.Train(run, config) }, err
		}
	}
	return s, s.check()
}

func (s *server) Describe(context.Context, *experimentv1.DescribeRequest) (*experimentv1.DescribeResponse, error) {
	return s.describeResponse(), nil
}

func (s *server) Stop(context.Context, *experimentv1.StopRequest) (*experimentv1.StopResponse, error) {
	s.stop.Store(true)
	return &experimentv1.StopResponse{}, nil
}

func (s *server) Train(ctx context.Context, request *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	if s.begun.Swap(true) {
		return nil, status.Error(codes.FailedPrecondition, "Train was called before in the life of this plugin")
	}
	s.running.Add(1)
	defer s.running.Done()
	// First of all: the broker forgets a service that nobody dials within seconds, and an accelerator takes longer.
	host, err := s.broker.Dial(request.GetHostServices())
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "cannot reach the host's services: %v", err)
	}
	defer host.Close()
	train, err := s.train(request.GetConfigJson())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the configuration does not fit: %v", err)
	}
	defer leaveWhenCancelled(ctx)()
	// What goes through go-plugin's pipes is lost when the process ends at once, and that is just what an experiment
	// says before os.Exit.
	os.Stdout, os.Stderr = s.stderr, s.stderr
	run := newRun(ctx, host, request, &s.stop)
	defer run.Metrics.close()
	concluded := make(chan answer, 1)
	go func() { concluded <- answerOf(run.conclude(protect(func() (Result, error) { return train(run) }))) }()
	answer := run.await(concluded)
	return answer.response, answer.err
}

// wait returns when Train has.
func (s *server) wait() { s.running.Wait() }

// panicError is a panic of the experiment.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprint(p.value) }

// protect calls train and turns a panic, or a runtime.Goexit, into an error.
func protect(train func() (Result, error)) (result Result, err error) {
	returned := make(chan struct{})
	go func() { // its own goroutine, since Goexit would end the server's
		defer close(returned)
		err = errors.New("Train ended its goroutine instead of returning")
		defer func() {
			if value := recover(); value != nil {
				err = &panicError{value, debug.Stack()}
			}
		}()
		result, err = train()
	}()
	<-returned
	return result, err
}

// servedPlugin tells go-plugin how to serve the one plugin kind that there is.
type servedPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	server *server
}

func (p servedPlugin) GRPCServer(broker *goplugin.GRPCBroker, server *grpc.Server) error {
	p.server.broker = broker
	experimentv1.RegisterExperimentServiceServer(server, p.server)
	return nil
}

func (servedPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client of itself")
}

func newGRPCServer(options []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(wire.MaxMessageBytes))...)
}
