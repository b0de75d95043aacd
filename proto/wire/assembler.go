package wire

import (
	"hash/crc32"
	"io"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// Sink is where an Assembler puts blobs.
type Sink interface {
	// Create begins a blob. Its Close makes it complete, and is called only if it has arrived as it was sent.
	Create(name string) (io.WriteCloser, error)
}

// Assembler turns frames back into blobs, and refuses whatever the rules of BlobFrame do not allow.
type Assembler struct {
	sink  Sink
	names blobNames
	blob  io.WriteCloser // nil between blobs
	name  string
	size  uint64
	crc   uint32
	err   error // the first; nothing reaches the sink after it
}

// NewAssembler returns an assembler that puts blobs into sink.
func NewAssembler(sink Sink) *Assembler {
	return &Assembler{sink: sink, names: blobNames{}}
}

// Frame takes the next frame. A *ProtocolError or *DataLossError is the sender's; any other is the sink's. After an
// error the stream is of no use: every later call returns it again.
func (a *Assembler) Frame(frame *experimentv1.BlobFrame) error {
	if a.err == nil {
		a.err = a.take(frame)
	}
	return a.err
}

// Done says whether the stream may end here: not within a blob, and not after an error.
func (a *Assembler) Done() error {
	if a.err == nil && a.blob != nil {
		a.err = brokenf("the stream ended within blob %q", a.name)
	}
	return a.err
}

func (a *Assembler) take(frame *experimentv1.BlobFrame) error {
	switch f := frame.GetFrame().(type) {
	case *experimentv1.BlobFrame_Start:
		return a.start(f.Start)
	case *experimentv1.BlobFrame_Chunk:
		return a.chunk(f.Chunk)
	case *experimentv1.BlobFrame_End:
		return a.end(f.End)
	default:
		return brokenf("an empty frame")
	}
}

func (a *Assembler) start(name string) error {
	if a.blob != nil {
		return brokenf("blob %q began within blob %q", name, a.name)
	}
	if err := a.names.add(name); err != nil {
		return err
	}
	blob, err := a.sink.Create(name)
	if err != nil {
		return err
	}
	a.blob, a.name, a.size, a.crc = blob, name, 0, 0
	return nil
}

func (a *Assembler) chunk(content []byte) error {
	switch {
	case a.blob == nil:
		return brokenf("a chunk outside of a blob")
	case len(content) == 0 || len(content) > ChunkSize:
		return brokenf("a chunk of %d bytes: want 1 to %d", len(content), ChunkSize)
	}
	a.size += uint64(len(content))
	a.crc = crc32.Update(a.crc, castagnoli, content)
	_, err := a.blob.Write(content)
	return err
}

func (a *Assembler) end(end *experimentv1.BlobEnd) error {
	if a.blob == nil {
		return brokenf("an end outside of a blob")
	}
	if end.GetSize() != a.size || end.GetCrc32C() != a.crc {
		return &DataLossError{Blob: a.name, WantSize: end.GetSize(), HaveSize: a.size, WantCRC: end.GetCrc32C(), HaveCRC: a.crc}
	}
	blob := a.blob
	a.blob = nil
	return blob.Close()
}
