package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/plugin"
	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// checkpointService keeps the checkpoints of one attempt.
type checkpointService struct {
	experimentv1.UnimplementedCheckpointServiceServer

	store      checkpoint.Store
	identity   checkpoint.Identity
	attempt    int
	retention  retention
	claims     []checkpoint.Claim // this attempt's included
	resumed    *checkpoint.Manifest
	metrics    *metricService
	keepFiles  func(context.Context) error                        // copies the output directory to the volume
	firstSaved func(ctx context.Context, checkpoint string) error // records that the attempt has made progress
	life       *life
	elapsed    func() time.Duration // of the attempt
	log        *eventlog.Writer
	fail       func(error) // records a failure of the volume, which is not the plugin's

	saving sync.Mutex                          // held by the one save that may run
	quiet  sync.Mutex                          // held by it, and by what must not go on beside it
	begun  atomic.Bool                         // whether a save has, ever
	last   atomic.Pointer[checkpoint.Manifest] // the newest that this attempt saved
}

// SaveCheckpoint stores what the stream brings; see the service's definition for its rules.
func (s *checkpointService) SaveCheckpoint(stream grpc.ClientStreamingServer[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse]) error {
	s.begun.Store(true)
	if !s.saving.TryLock() {
		return status.Error(codes.Aborted, "another save is under way")
	}
	defer s.saving.Unlock()
	s.quiet.Lock()
	defer s.quiet.Unlock()
	began := time.Now()
	manifest, err := s.save(stream)
	if err != nil {
		return s.refuse(err)
	}
	s.last.Store(manifest)
	s.log.Write(eventlog.Event{
		Kind: eventlog.Saved, Step: manifest.Step, Checkpoint: manifest.ID, Reason: string(manifest.Reason),
		SizeBytes: manifest.Size(), Seconds: time.Since(began).Seconds(),
		Message: fmt.Sprintf("saved checkpoint %s (%s)", manifest.ID, manifest.Reason),
	})
	s.prune(stream.Context())
	return stream.SendAndClose(&experimentv1.SaveCheckpointResponse{Checkpoint: toProto(manifest)})
}

// settle waits until no save and no sync is under way, and lets none begin: what the plugin's end has broken off must not
// go on behind the attempt's.
func (s *checkpointService) settle() {
	s.saving.Lock()
	s.quiet.Lock()
}

// idly does something unless a save is under way, and has one that begins meanwhile wait.
func (s *checkpointService) idly(do func()) {
	if s.quiet.TryLock() {
		defer s.quiet.Unlock()
		do()
	}
}

func (s *checkpointService) save(stream grpc.ClientStreamingServer[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse]) (*checkpoint.Manifest, error) {
	ctx := stream.Context()
	request, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	message := request.GetHeader()
	if message == nil {
		return nil, protocolErrorf("a save begins with a header")
	}
	header, err := s.header(message)
	if err != nil {
		return nil, err
	}
	metrics, err := s.metrics.barrier(message.GetMetricsThrough())
	if err != nil {
		return nil, err
	}
	// The plugin may train on: what it logs from now on is not of this checkpoint.
	if err := stream.SendHeader(nil); err != nil { // no status, where the plugin has left: it is no failure of the volume
		return nil, status.Errorf(codes.Unavailable, "the plugin broke off the save: %v", err)
	}
	writer, err := s.store.Create(ctx, header)
	if err != nil {
		return nil, err
	}
	defer writer.Abort()
	if err := s.receive(stream, writer); err != nil {
		return nil, err
	}
	defer s.life.hold()()
	place, err := s.metrics.durable(message.GetMetricsThrough())
	if err != nil {
		return nil, err
	}
	if err := s.keepFiles(ctx); err != nil {
		return nil, err
	}
	manifest, err := writer.Commit(ctx, checkpoint.History{
		Metrics: metrics.latest, Events: checkpoint.Events{Place: place, LastSteps: metrics.lastSteps},
	})
	if err == nil && s.last.Load() == nil {
		err = s.firstSaved(ctx, manifest.ID)
	}
	return manifest, err
}

// receive takes blobs until the commit, and checks that nothing comes behind it.
func (s *checkpointService) receive(stream grpc.ClientStreamingServer[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse], writer checkpoint.Writer) error {
	assembler := wire.NewAssembler(blobSink{writer})
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return protocolErrorf("the stream ended without a commit")
		}
		if err != nil {
			return err
		}
		switch frame := request.GetFrame().(type) {
		case *experimentv1.SaveCheckpointRequest_Blob:
			release := s.life.hold()
			err := assembler.Frame(frame.Blob)
			release()
			if err != nil {
				return err
			}
		case *experimentv1.SaveCheckpointRequest_Commit:
			return assembler.Done()
		default:
			return protocolErrorf("a frame that is neither a blob nor a commit")
		}
	}
}

func (s *checkpointService) header(message *experimentv1.SaveHeader) (checkpoint.Header, error) {
	reason, ok := reasons[message.GetReason()]
	if !ok {
		return checkpoint.Header{}, protocolErrorf("a save without a reason")
	}
	parent := s.last.Load()
	if parent == nil {
		parent = s.resumed
	}
	header := checkpoint.Header{
		Identity: s.identity, Step: message.GetStep(), Attempt: s.attempt,
		Reason: reason, SizeHint: message.GetSizeHint(), ElapsedSeconds: s.elapsed().Seconds(),
	}
	if reason == checkpoint.Final {
		if err := wire.CheckResult(message.GetResult()); err != nil {
			return checkpoint.Header{}, protocolErrorf("%v", err)
		}
		header.Result = checkpoint.Metrics(message.GetResult())
	}
	if parent != nil {
		header.Parent = parent.ID
		if header.Step < parent.Step {
			return checkpoint.Header{}, protocolErrorf("a checkpoint at step %d, after one at step %d", header.Step, parent.Step)
		}
	}
	return header, nil
}

var reasons = map[experimentv1.Reason]checkpoint.Reason{
	experimentv1.Reason_REASON_PERIODIC: checkpoint.Periodic,
	experimentv1.Reason_REASON_STOP:     checkpoint.Stop,
	experimentv1.Reason_REASON_FINAL:    checkpoint.Final,
	experimentv1.Reason_REASON_MANUAL:   checkpoint.Manual,
}

// blobSink writes what the assembler receives into a checkpoint.
type blobSink struct{ writer checkpoint.Writer }

func (b blobSink) Create(name string) (io.WriteCloser, error) { return b.writer.Blob(name) }

// prune applies retention. That it fails loses nothing, so it fails nothing.
func (s *checkpointService) prune(ctx context.Context) {
	defer s.life.hold()()
	lineage, err := s.retention.lineage(ctx, s.claims)
	if err == nil {
		_, err = checkpoint.Prune(ctx, s.store, s.retention.policy, s.attempt, lineage)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Say(eventlog.Warning, "old checkpoints were not removed: %v", err)
	}
}

// LoadCheckpoint streams one blob of a checkpoint of this attempt's lineage.
func (s *checkpointService) LoadCheckpoint(request *experimentv1.LoadCheckpointRequest, stream grpc.ServerStreamingServer[experimentv1.LoadCheckpointResponse]) error {
	if s.resumed == nil || s.resumed.ID != request.GetCheckpointId() {
		return status.Errorf(codes.NotFound, "checkpoint %q is not the one that this attempt resumes from", request.GetCheckpointId())
	}
	blob, err := s.store.Open(stream.Context(), s.resumed.ID, request.GetBlob())
	if err != nil {
		return s.refuse(err)
	}
	defer blob.Close()
	sender := wire.NewBlobSender(func(frame *experimentv1.BlobFrame) error {
		s.life.sign()
		return stream.Send(&experimentv1.LoadCheckpointResponse{Blob: frame})
	})
	to, err := sender.Create(request.GetBlob())
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(to, blob, make([]byte, wire.ChunkSize)); err != nil {
		return s.refuse(err)
	}
	return sender.Close()
}

// ListCheckpoints lists what LoadCheckpoint would stream.
func (s *checkpointService) ListCheckpoints(context.Context, *experimentv1.ListCheckpointsRequest) (*experimentv1.ListCheckpointsResponse, error) {
	response := new(experimentv1.ListCheckpointsResponse)
	if s.resumed != nil {
		response.Checkpoints = []*experimentv1.Checkpoint{toProto(s.resumed)}
	}
	return response, nil
}

// refuse turns an error into a status for the plugin, and records it if it is the volume's failure and not the
// plugin's.
func (s *checkpointService) refuse(err error) error {
	var (
		protocol *wire.ProtocolError
		sent     *wire.DataLossError
		corrupt  *checkpoint.CorruptError
		missing  *checkpoint.NotFoundError
		large    *checkpoint.SizeError
	)
	switch {
	case status.Code(err) == codes.ResourceExhausted:
		return protocolErrorf("%s", plugin.Refusal(err))
	case status.Code(err) != codes.Unknown:
		return err // a status already: the stream broke, or its sender broke a rule
	case errors.As(err, &protocol), errors.As(err, &large):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.As(err, &sent):
		return status.Error(codes.DataLoss, err.Error())
	case errors.As(err, &missing):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	s.fail(err)
	code := codes.Internal
	switch {
	case errors.As(err, &corrupt):
		code = codes.DataLoss
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		code = codes.ResourceExhausted
	}
	return status.Error(code, err.Error())
}

func protocolErrorf(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func toProto(manifest *checkpoint.Manifest) *experimentv1.Checkpoint {
	message := &experimentv1.Checkpoint{Id: manifest.ID, Step: manifest.Step}
	for _, blob := range manifest.Blobs {
		message.Blobs = append(message.Blobs, &experimentv1.BlobInfo{Name: blob.Name, Size: blob.Size})
	}
	return message
}
