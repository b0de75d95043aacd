package sdk

import (
	"context"
	"io"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// reader reads one checkpoint from the host.
type reader struct {
	ctx        context.Context
	client     experimentv1.CheckpointServiceClient
	checkpoint *experimentv1.Checkpoint
}

func newReader(ctx context.Context, client experimentv1.CheckpointServiceClient, checkpoint *experimentv1.Checkpoint) *reader {
	return &reader{ctx, client, checkpoint}
}

func (r *reader) Step() int64 { return int64(r.checkpoint.GetStep()) }

func (r *reader) Blobs() []Blob {
	blobs := make([]Blob, len(r.checkpoint.GetBlobs()))
	for i, blob := range r.checkpoint.GetBlobs() {
		blobs[i] = Blob{Name: blob.GetName(), Size: int64(blob.GetSize())}
	}
	return blobs
}

func (r *reader) Open(name string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(r.ctx)
	stream, err := r.client.LoadCheckpoint(ctx, &experimentv1.LoadCheckpointRequest{CheckpointId: r.checkpoint.GetId(), Blob: name})
	if err != nil {
		cancel()
		return nil, plain(err)
	}
	content := wire.NewBlobReader(name, func() (*experimentv1.BlobFrame, error) {
		response, err := stream.Recv()
		if err != nil && err != io.EOF {
			return nil, plain(err)
		}
		return response.GetBlob(), err
	})
	return blobReader{content, cancel}, nil
}

type blobReader struct {
	io.Reader
	cancel func()
}

func (b blobReader) Close() error {
	b.cancel()
	return nil
}
