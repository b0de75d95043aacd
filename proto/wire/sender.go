package wire

import (
	"hash/crc32"
	"io"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BlobSender turns blobs into frames. Small writes are gathered into whole chunks. After an error nothing more is sent,
// and every later call returns it again: whoever ignores one cannot complete the stream.
type BlobSender struct {
	send   func(*experimentv1.BlobFrame) error
	names  blobNames
	name   string // "" between blobs
	buffer []byte // what is not yet a chunk
	size   uint64
	crc    uint32
	err    error // the first
}

// NewBlobSender returns a sender that gives its frames to send. send must not keep a frame after it has returned, since
// its chunk is used again: gRPC's own codec copies a message before SendMsg returns.
func NewBlobSender(send func(*experimentv1.BlobFrame) error) *BlobSender {
	return &BlobSender{send: send, names: blobNames{}}
}

// Create ends the blob before and begins the one called name. The writer is valid until the next Create or Close. A
// name that the rules of BlobFrame do not allow is a *ProtocolError.
func (s *BlobSender) Create(name string) (io.Writer, error) {
	if err := s.Close(); err != nil {
		return nil, err
	}
	if s.err = s.names.add(name); s.err != nil {
		return nil, s.err
	}
	s.name, s.size, s.crc = name, 0, 0
	s.frame(&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: name}})
	if s.err != nil {
		return nil, s.err
	}
	return blobWriter{s, name}, nil
}

// Close ends the last blob.
func (s *BlobSender) Close() error {
	if s.name == "" {
		return s.err
	}
	if len(s.buffer) > 0 {
		s.chunk(s.buffer)
		s.buffer = s.buffer[:0]
	}
	s.name = ""
	s.frame(&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_End{End: &experimentv1.BlobEnd{Size: s.size, Crc32C: s.crc}}})
	return s.err
}

type blobWriter struct {
	sender *BlobSender
	name   string
}

// Write sends whole chunks straight from p, and keeps the rest for the next write.
func (w blobWriter) Write(p []byte) (int, error) {
	s := w.sender
	if s.err == nil && s.name != w.name {
		s.err = brokenf("a write to blob %q after it has ended", w.name)
	}
	if s.err != nil {
		return 0, s.err
	}
	s.size += uint64(len(p))
	s.crc = crc32.Update(s.crc, castagnoli, p)
	for rest := p; len(rest) > 0 && s.err == nil; {
		if len(s.buffer) == 0 && len(rest) >= ChunkSize {
			s.chunk(rest[:ChunkSize])
			rest = rest[ChunkSize:]
			continue
		}
		if s.buffer == nil {
			s.buffer = make([]byte, 0, ChunkSize)
		}
		n := min(len(rest), ChunkSize-len(s.buffer))
		s.buffer, rest = append(s.buffer, rest[:n]...), rest[n:]
		if len(s.buffer) == ChunkSize {
			s.chunk(s.buffer)
			s.buffer = s.buffer[:0]
		}
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

func (s *BlobSender) chunk(content []byte) {
	s.frame(&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: content}})
}

func (s *BlobSender) frame(frame *experimentv1.BlobFrame) {
	if s.err == nil {
		s.err = s.send(frame)
	}
}
