package sdk

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// reader reads one checkpoint from the host.
type reader struct {
	ctx        context.Context
	client     experimentv1.CheckpointServiceClient
	checkpoint *experimentv1.Checkpoint

	mu         sync.Mutex      // State.Load may read blobs side by side
	unverified map[string]bool // those that were opened and not read to their end
}

func newReader(ctx context.Context, client experimentv1.CheckpointServiceClient, checkpoint *experimentv1.Checkpoint) *reader {
	return &reader{ctx: ctx, client: client, checkpoint: checkpoint, unverified: map[string]bool{}}
}

// load restores state from the checkpoint. A blob of which State.Load read only what it needed is read once more, to
// its end, which is where a damage shows.
func (r *reader) load(state State) error {
	if err := state.Load(r); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.unverified)) {
		blob, err := r.Open(name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, blob); err != nil {
			return err
		}
	}
	return nil
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
	r.mark(name, false)
	content := wire.NewBlobReader(name, func() (*experimentv1.BlobFrame, error) {
		response, err := stream.Recv()
		if err != nil && err != io.EOF {
			return nil, plain(err)
		}
		return response.GetBlob(), err
	})
	return &blobReader{content: content, cancel: cancel, verified: func() { r.mark(name, true) }}, nil
}

func (r *reader) mark(name string, verified bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if verified {
		delete(r.unverified, name)
	} else {
		r.unverified[name] = true
	}
}

type blobReader struct {
	content          io.Reader
	cancel, verified func()
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.content.Read(p)
	if err == io.EOF {
		b.verified()
	}
	return n, err
}

func (b *blobReader) Close() error {
	b.cancel()
	return nil
}
