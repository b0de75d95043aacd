package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// saver streams checkpoints to the host, one at a time. send returns when the state is copied; the host's answer, that
// it is durable, is waited for behind training's back.
type saver struct {
	ctx    context.Context
	client experimentv1.CheckpointServiceClient
	answer chan error // of the save under way; nil if there is none
	err    error      // of the last one; kept, since training must not go on without checkpoints
}

// wait waits for the answer to the save under way, and returns the error of the last.
func (s *saver) wait() error {
	if s.answer != nil {
		s.err = <-s.answer
		s.answer = nil
	}
	return s.err
}

// failed says, without waiting, that the last save has failed.
func (s *saver) failed() bool {
	if s.answer != nil {
		select {
		case s.err = <-s.answer:
			s.answer = nil
		default:
		}
	}
	return s.err != nil
}

// send streams the header, the state's blobs and the commit. A nil state has no blobs.
func (s *saver) send(header *experimentv1.SaveHeader, state State) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer func() {
		if s.answer == nil {
			cancel() // the stream is without a commit, so there is no checkpoint
		}
	}()
	call, err := s.client.SaveCheckpoint(ctx)
	if err != nil {
		return s.remember(header, err)
	}
	stream := &saveStream{call: call}
	if err := stream.write(header, state); err != nil {
		if stream.refused { // the host's answer says why; the state's error does not
			_, err = call.CloseAndRecv()
		}
		return s.remember(header, err)
	}
	// Before the host has said that it has begun, it might take what training logs next for a part of this checkpoint.
	// An error is that of the whole call.
	_, _ = call.Header()
	answer := make(chan error, 1)
	s.answer = answer
	go func() {
		defer cancel()
		_, err := call.CloseAndRecv()
		answer <- unsaved(header, err)
	}()
	return nil
}

// saveStream is one save on its way to the host.
type saveStream struct {
	call    grpc.ClientStreamingClient[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse]
	refused bool // the host has ended the stream before its end
}

func (s *saveStream) write(header *experimentv1.SaveHeader, state State) error {
	if err := s.send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Header{Header: header}}); err != nil {
		return err
	}
	if state != nil {
		sender := wire.NewBlobSender(func(frame *experimentv1.BlobFrame) error {
			return s.send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Blob{Blob: frame}})
		})
		if err := state.Save(sender); err != nil {
			return err
		}
		if err := sender.Close(); err != nil {
			return err
		}
	}
	return s.send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Commit{Commit: &experimentv1.SaveCommit{}}})
}

var errRefused = errors.New("the host does not take the checkpoint")

// send hides the io.EOF with which gRPC says that the host has ended the stream: a State would take it for the end of
// something that it reads.
func (s *saveStream) send(request *experimentv1.SaveCheckpointRequest) error {
	err := s.call.Send(request)
	if errors.Is(err, io.EOF) {
		s.refused = true
		return errRefused
	}
	return err
}

func (s *saver) remember(header *experimentv1.SaveHeader, err error) error {
	s.err = unsaved(header, err)
	return s.err
}

func unsaved(header *experimentv1.SaveHeader, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the checkpoint at step %d was not saved: %w", header.GetStep(), plain(err))
}

// plain takes the words of the host out of a status.
func plain(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return errors.New(s.Message())
	}
	return err
}
