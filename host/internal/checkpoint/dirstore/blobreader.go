package dirstore

import (
	"context"
	"fmt"
	"io"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// blobReader reads one blob and compares it with the manifest before it admits the end.
type blobReader struct {
	ctx  context.Context
	id   string
	want checkpoint.Blob
	file io.ReadCloser
	sum  checkpoint.Sum
}

func (b *blobReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.file.Read(p)
	b.sum.Write(p[:n])
	switch {
	case b.sum.Size() > b.want.Size:
		return n, b.corrupt(fmt.Errorf("it is longer than the %d bytes that were saved", b.want.Size))
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, readError(b.id, b.want.Name, err)
	case b.sum.Size() < b.want.Size:
		return n, b.corrupt(fmt.Errorf("it has %d of the %d bytes that were saved", b.sum.Size(), b.want.Size))
	}
	if have := b.sum.Blob(b.want.Name); have != b.want {
		return n, b.corrupt(fmt.Errorf("its content has the hash %s, and %s was saved", have.XXH3, b.want.XXH3))
	}
	return n, io.EOF
}

func (b *blobReader) Close() error { return b.file.Close() }

func (b *blobReader) corrupt(cause error) error {
	return &checkpoint.CorruptError{ID: b.id, File: b.want.Name, Cause: cause}
}
