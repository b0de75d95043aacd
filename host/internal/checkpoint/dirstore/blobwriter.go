package dirstore

import (
	"bufio"
	"fmt"
	"os"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// bufferSize of reads and writes: large enough that system calls cost nothing beside the disk, and the size of a chunk
// on the wire, which then passes without being copied.
const bufferSize = 1 << 20

// blobWriter writes and hashes one blob.
type blobWriter struct {
	w    *writer
	name string
	file File
	buf  *bufio.Writer
	sum  checkpoint.Sum
}

func newBlobWriter(w *writer, name string, f File) *blobWriter {
	return &blobWriter{w: w, name: name, file: f, buf: bufio.NewWriterSize(f, bufferSize)}
}

func (b *blobWriter) Write(p []byte) (int, error) {
	if err := b.usable(); err != nil {
		return 0, err
	}
	n, err := b.buf.Write(p)
	if err != nil {
		return n, b.fail(err)
	}
	return b.sum.Write(p)
}

// Close makes the blob durable and a part of the checkpoint.
func (b *blobWriter) Close() error {
	if err := b.usable(); err != nil {
		return err
	}
	if err := b.buf.Flush(); err != nil {
		return b.fail(err)
	}
	if err := b.file.Sync(); err != nil {
		return b.fail(err)
	}
	b.w.open = nil
	if err := b.file.Close(); err != nil {
		return b.w.fail(fmt.Errorf("blob %q: %w", b.name, err))
	}
	b.w.blobs = append(b.w.blobs, b.sum.Blob(b.name))
	return nil
}

func (b *blobWriter) usable() error {
	if b.w.open != b {
		return fmt.Errorf("blob %q: %w", b.name, os.ErrClosed)
	}
	return b.w.err
}

// fail ends the save. Abort closes the file.
func (b *blobWriter) fail(err error) error {
	return b.w.fail(fmt.Errorf("blob %q: %w", b.name, err))
}
