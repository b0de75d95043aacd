package wire

import (
	"errors"
	"io"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// NewBlobReader reads the one blob, called name, whose frames recv brings. Read returns io.EOF only once the whole
// blob is here and its checksum is right; a stream that ends before is io.ErrUnexpectedEOF.
func NewBlobReader(name string, recv func() (*experimentv1.BlobFrame, error)) io.Reader {
	reader := &blobReader{name: name, recv: recv}
	reader.assembler = NewAssembler(reader)
	return reader
}

// blobReader is the sink of its own assembler: each chunk waits in pending until it is read.
type blobReader struct {
	name      string
	recv      func() (*experimentv1.BlobFrame, error)
	assembler *Assembler
	pending   []byte
	err       error
}

func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.pending) == 0 && r.err == nil {
		r.next()
	}
	if len(r.pending) == 0 {
		return 0, r.err
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

func (r *blobReader) next() {
	frame, err := r.recv()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the end frame would have ended it
	}
	if err == nil {
		err = r.assembler.Frame(frame)
	}
	if err != nil {
		r.err = err
	}
}

func (r *blobReader) Create(name string) (io.WriteCloser, error) {
	if name != r.name {
		return nil, brokenf("blob %q, where %q was asked for", name, r.name)
	}
	return chunks{r}, nil
}

// chunks receives the content of the blob.
type chunks struct{ reader *blobReader }

func (c chunks) Write(p []byte) (int, error) {
	c.reader.pending = p
	return len(p), nil
}

func (c chunks) Close() error {
	c.reader.err = io.EOF
	return nil
}
