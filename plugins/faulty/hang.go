package main

import (
	"context"
	"hash/crc32"
	"strings"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// trainOn is Train with the services of the host.
type trainOn func(context.Context, *grpc.ClientConn, *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error)

type saveStream = grpc.ClientStreamingClient[experimentv1.SaveCheckpointRequest, experimentv1.SaveCheckpointResponse]

var commit = &experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Commit{Commit: &experimentv1.SaveCommit{}}}

var (
	manual = &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_MANUAL}
	ahead  = &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_MANUAL, MetricsThrough: 1}
)

// beginSave opens a save and sends its header; nil for none.
func beginSave(ctx context.Context, host *grpc.ClientConn, header *experimentv1.SaveHeader) (saveStream, error) {
	stream, err := experimentv1.NewCheckpointServiceClient(host).SaveCheckpoint(ctx)
	if err != nil || header == nil {
		return stream, err
	}
	return stream, stream.Send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Header{Header: header}})
}

func sendFrame(stream saveStream, frame *experimentv1.BlobFrame) error {
	return stream.Send(&experimentv1.SaveCheckpointRequest{Frame: &experimentv1.SaveCheckpointRequest_Blob{Blob: frame}})
}

func sendHalfBlob(stream saveStream) error {
	if err := sendFrame(stream, &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: "state"}}); err != nil {
		return err
	}
	return sendFrame(stream, &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: []byte("half of it")}})
}

// saveBlob saves a checkpoint of one blob of zeros at step 1.
func saveBlob(ctx context.Context, host *grpc.ClientConn, size int) error {
	stream, err := beginSave(ctx, host, manual)
	if err != nil {
		return err
	}
	frames := []*experimentv1.BlobFrame{{Frame: &experimentv1.BlobFrame_Start{Start: "state"}}}
	content := make([]byte, size)
	for at := 0; at < size; at += wire.ChunkSize {
		frames = append(frames, &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: content[at:min(size, at+wire.ChunkSize)]}})
	}
	sum := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
	frames = append(frames, &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_End{End: &experimentv1.BlobEnd{Size: uint64(size), Crc32C: sum}}})
	for _, frame := range frames {
		if err := sendFrame(stream, frame); err != nil {
			break // the status comes with the answer
		}
	}
	_ = stream.Send(commit)
	return stream.RecvMsg(new(experimentv1.SaveCheckpointResponse))
}

// hangInSave leaves a save open behind what send has sent of it.
func hangInSave(header *experimentv1.SaveHeader, send func(saveStream) error) trainOn {
	return func(ctx context.Context, host *grpc.ClientConn, _ *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
		stream, err := beginSave(ctx, host, header)
		if err == nil && send != nil {
			err = send(stream)
		}
		if err != nil {
			return nil, err
		}
		return nil, stream.RecvMsg(new(experimentv1.SaveCheckpointResponse))
	}
}

// hangInLoad saves more than a socket holds, and is killed; the next attempt begins to load it and never reads on.
func hangInLoad(ctx context.Context, host *grpc.ClientConn, request *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	if request.GetResume() == nil {
		if err := saveBlob(ctx, host, 8<<20); err != nil {
			return nil, err
		}
		killSelf()
	}
	_, err := experimentv1.NewCheckpointServiceClient(host).LoadCheckpoint(ctx, &experimentv1.LoadCheckpointRequest{
		CheckpointId: request.GetResume().GetId(), Blob: "state",
	})
	if err == nil {
		<-ctx.Done()
	}
	return nil, err
}

// finish makes a final checkpoint and says so.
func finish(ctx context.Context, host *grpc.ClientConn, _ *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	stream, err := beginSave(ctx, host, &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_FINAL})
	if err == nil {
		err = stream.Send(commit)
	}
	if err == nil {
		err = stream.RecvMsg(new(experimentv1.SaveCheckpointResponse)) // and never closes the stream
	}
	if err != nil {
		return nil, err
	}
	return &experimentv1.TrainResponse{Outcome: experimentv1.Outcome_OUTCOME_FINISHED, LastStep: 1}, nil
}

// deafServer does not hear when the host tells the plugin to leave.
func deafServer(options []grpc.ServerOption) *grpc.Server {
	return goplugin.DefaultGRPCServer(append(options, grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if strings.HasSuffix(info.FullMethod, "/Shutdown") {
			hang()
		}
		return handle(ctx, request)
	})))
}
