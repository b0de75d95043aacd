package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// tooLong is when a test gives up waiting; no promise is about it.
const tooLong = time.Minute

// testHost serves one attempt, records what comes, and fails where a test says so.
type testHost struct {
	experimentv1.UnimplementedCheckpointServiceServer
	experimentv1.UnimplementedMetricServiceServer

	onPoints func()                               // before a batch is taken
	onHeader func(*experimentv1.SaveHeader) error // when a save begins
	onCommit func(*experimentv1.SaveHeader) error // before it is acknowledged
	stored   map[string][]byte                    // what LoadCheckpoint streams
	damage   func(frame *experimentv1.BlobFrame)  // on its way

	mu       sync.Mutex
	points   []*experimentv1.ScalarPoint
	largest  int // batch
	gap      bool
	progress *experimentv1.Progress
	saves    []save
	saving   bool
	overlap  bool
}

// save is an acknowledged checkpoint.
type save struct {
	header *experimentv1.SaveHeader
	points int // that had arrived when the header was answered
	blobs  map[string][]byte
}

func (h *testHost) LogMetrics(_ context.Context, request *experimentv1.LogMetricsRequest) (*experimentv1.LogMetricsResponse, error) {
	if h.onPoints != nil {
		h.onPoints()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if request.GetProgress() != nil {
		h.progress = request.GetProgress()
	}
	h.gap = h.gap || request.GetFirst() != uint64(len(h.points))+1
	h.largest = max(h.largest, len(request.GetScalars()))
	h.points = append(h.points, request.GetScalars()...)
	return &experimentv1.LogMetricsResponse{Through: uint64(len(h.points))}, nil
}

func (h *testHost) SaveCheckpoint(stream grpc.ClientStreamingServer[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse]) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	saved := save{header: request.GetHeader(), blobs: map[string][]byte{}}
	h.mu.Lock()
	h.overlap = h.overlap || h.saving
	h.saving = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.saving = false
	}()
	if h.onHeader != nil {
		if err := h.onHeader(saved.header); err != nil {
			return err
		}
	}
	h.mu.Lock()
	saved.points = len(h.points)
	h.mu.Unlock()
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	assembler := wire.NewAssembler(memory(saved.blobs))
	for request, err = stream.Recv(); err == nil && request.GetBlob() != nil; request, err = stream.Recv() {
		if err := assembler.Frame(request.GetBlob()); err != nil {
			return err
		}
	}
	if err = errors.Join(err, assembler.Done()); err != nil || request.GetCommit() == nil {
		return status.Errorf(codes.InvalidArgument, "no commit: %v", err)
	}
	if h.onCommit != nil {
		if err := h.onCommit(saved.header); err != nil {
			return err
		}
	}
	if err := stream.Context().Err(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saves = append(h.saves, saved)
	return stream.SendAndClose(&experimentv1.SaveCheckpointResponse{Checkpoint: &experimentv1.Checkpoint{Step: saved.header.GetStep()}})
}

func (h *testHost) LoadCheckpoint(request *experimentv1.LoadCheckpointRequest, stream grpc.ServerStreamingServer[experimentv1.LoadCheckpointResponse]) error {
	sender := wire.NewBlobSender(func(frame *experimentv1.BlobFrame) error {
		if h.damage != nil {
			h.damage(frame)
		}
		return stream.Send(&experimentv1.LoadCheckpointResponse{Blob: frame})
	})
	content, ok := h.stored[request.GetBlob()]
	if !ok {
		return status.Errorf(codes.NotFound, "there is no blob %s", request.GetBlob())
	}
	blob, err := sender.Create(request.GetBlob())
	if err != nil {
		return err
	}
	if _, err := blob.Write(content); err != nil {
		return err
	}
	return sender.Close()
}

// last is the newest checkpoint.
func (h *testHost) last(t *testing.T) save {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.saves) == 0 {
		t.Fatal("there is no checkpoint")
	}
	return h.saves[len(h.saves)-1]
}

// memory is a wire.Sink.
type memory map[string][]byte

type memoryBlob struct {
	name string
	to   memory
}

func (m memory) Create(name string) (io.WriteCloser, error) {
	m[name] = []byte{}
	return memoryBlob{name: name, to: m}, nil
}

func (b memoryBlob) Write(p []byte) (int, error) {
	b.to[b.name] = append(b.to[b.name], p...)
	return len(p), nil
}

func (b memoryBlob) Close() error { return nil }

// plugin is the counter, in a process of its own.
type plugin struct {
	experimentv1.ExperimentServiceClient
	broker *goplugin.GRPCBroker
	client *goplugin.Client
	output string // its output directory
}

type servedCounter struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (servedCounter) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return nil }

func (servedCounter) GRPCClient(_ context.Context, broker *goplugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return &plugin{ExperimentServiceClient: experimentv1.NewExperimentServiceClient(connection), broker: broker}, nil
}

// connect starts the counter as a host does. command may have been changed before.
func connect(command *exec.Cmd, output string) (*plugin, error) {
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{wire.ProtocolVersion: {wire.PluginName: servedCounter{}}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Cmd:              command,
		SkipHostEnv:      true,
		Logger:           hclog.NewNullLogger(),
	})
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, err
	}
	dispensed, err := protocol.Dispense(wire.PluginName)
	if err != nil {
		client.Kill()
		return nil, err
	}
	p := dispensed.(*plugin)
	p.client, p.output = client, output
	return p, nil
}

// counterCommand runs this test binary as the counter, with a private directory for everything that it may leave.
func counterCommand(private string, env ...string) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append([]string{
		envRole + "=" + roleExperiment, "TMPDIR=" + private, "PLUGIN_UNIX_SOCKET_DIR=" + private,
		"GORACE=halt_on_error=1 atexit_sleep_ms=0", // a race ends it, and with it the test's call
	}, env...)
	return command
}

// privateDir is short, as a directory of sockets must be.
func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sdk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func startCounter(t *testing.T, env ...string) *plugin {
	t.Helper()
	private := privateDir(t)
	p, err := connect(counterCommand(private, env...), private)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.Kill)
	return p
}

// request asks for a training run that is served by host.
func (p *plugin) request(host *testHost, config counterConfig) *experimentv1.TrainRequest {
	id := p.broker.NextId()
	go p.broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := grpc.NewServer(options...)
		experimentv1.RegisterCheckpointServiceServer(server, host)
		experimentv1.RegisterMetricServiceServer(server, host)
		return server
	})
	raw, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return &experimentv1.TrainRequest{
		RunId: "run", Attempt: 1, OutputDir: p.output, ConfigJson: raw, HostServices: id,
		Cadence: &experimentv1.Cadence{Steps: 4},
	}
}

// resumed sets the checkpoint of step 3 that host has stored.
func resumed(host *testHost, request *experimentv1.TrainRequest) *experimentv1.TrainRequest {
	host.stored = map[string][]byte{"counter": {3, 0, 0, 0, 0, 0, 0, 0}, "zeros": make([]byte, 3<<20)}
	request.Resume = &experimentv1.Checkpoint{Id: "counter-3", Step: 3}
	for _, name := range []string{"counter", "zeros"} {
		request.Resume.Blobs = append(request.Resume.Blobs, &experimentv1.BlobInfo{Name: name, Size: uint64(len(host.stored[name]))})
	}
	return request
}

// train runs the counter to its end.
func train(t *testing.T, host *testHost, config counterConfig) *experimentv1.TrainResponse {
	t.Helper()
	p := startCounter(t)
	return call(t, p, p.request(host, config))
}

func call(t *testing.T, p *plugin, request *experimentv1.TrainRequest) *experimentv1.TrainResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tooLong)
	defer cancel()
	response, err := p.Train(ctx, request)
	if err != nil {
		t.Fatalf("Train: %v", err)
	}
	return response
}

// within waits until something is true.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(tooLong); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

func (p *plugin) has(file string) bool {
	_, err := os.Stat(filepath.Join(p.output, file))
	return err == nil
}
