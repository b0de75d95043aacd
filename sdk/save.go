package sdk

import (
	"context"
	"errors"
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
	stream, err := s.client.SaveCheckpoint(ctx)
	if err != nil {
		cancel()
		return s.remember(err)
	}
	if err := s.stream(stream, header, state); err != nil {
		if errors.Is(err, io.EOF) { // the host has ended the stream, and its answer says why
			_, err = stream.CloseAndRecv()
		}
		cancel() // without a commit there is no checkpoint
		return s.remember(err)
	}
	answer := make(chan error, 1)
	s.answer = answer
	go func() {
		defer cancel()
		_, err := stream.CloseAndRecv()
		answer <- plain(err)
	}()
	return nil
}

func (s *saver) stream(stream grpc.ClientStreamingClient[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse], header *experimentv1.SaveHeader, state State) error {
	err := stream.Send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Header{Header: header}})
	if err != nil {
		return err
	}
	if state != nil {
		sender := wire.NewBlobSender(func(frame *experimentv1.BlobFrame) error {
			return stream.Send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Blob{Blob: frame}})
		})
		if err := state.Save(sender); err != nil {
			return err
		}
		if err := sender.Close(); err != nil {
			return err
		}
	}
	return stream.Send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Commit{Commit: &experimentv1.SaveCommit{}}})
}

func (s *saver) remember(err error) error {
	s.err = plain(err)
	return s.err
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
