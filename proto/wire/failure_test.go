package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

var errFull = errors.New("no space left on device")

// fullDisk is a sink whose calls fail once some have been made.
type fullDisk struct{ calls int }

func (d *fullDisk) call() error {
	if d.calls--; d.calls < 0 {
		return errFull
	}
	return nil
}

func (d *fullDisk) Create(string) (io.WriteCloser, error) { return d, d.call() }
func (d *fullDisk) Write(p []byte) (int, error)           { return len(p), d.call() }
func (d *fullDisk) Close() error                          { return d.call() }

func TestFailureOfTheSinkIsNotTheSendersFault(t *testing.T) {
	frames := send(t, 1<<30, []string{"a"}, map[string][]byte{"a": random(wire.ChunkSize + 1)})
	for n := range frames {
		assembler := wire.NewAssembler(&fullDisk{calls: n})
		var err error
		for _, frame := range frames {
			if err = assembler.Frame(frame); err != nil {
				break
			}
		}
		if !errors.Is(err, errFull) {
			t.Errorf("call %d of the sink failed, and the assembler returned %v", n+1, err)
		}
	}
}

func TestStreamStaysBrokenAfterAnError(t *testing.T) {
	received := blobs{}
	assembler := wire.NewAssembler(received)
	first := assembler.Frame(chunk("x"))
	if first == nil {
		t.Fatal("a chunk outside of a blob was taken")
	}
	for _, frame := range []*experimentv1.BlobFrame{start("a"), end(0, 0)} {
		if err := assembler.Frame(frame); err != first {
			t.Errorf("a frame after the error: got %v, want the error again", err)
		}
	}
	if assembler.Done() == nil || len(received) > 0 {
		t.Error("the stream could be completed after the error")
	}
}

func TestSenderThatFailedCompletesNothing(t *testing.T) {
	for allowed := range 6 {
		sent := 0
		sender := wire.NewBlobSender(func(*experimentv1.BlobFrame) error {
			if sent++; sent > allowed {
				return errFull
			}
			return nil
		})
		for _, name := range []string{"a", "b"} {
			if blob, err := sender.Create(name); err == nil { // whose errors nobody looks at
				_, _ = blob.Write([]byte("content"))
			}
		}
		if err := sender.Close(); !errors.Is(err, errFull) {
			t.Errorf("frame %d was refused, and Close returned %v", allowed+1, err)
		}
		if sent != allowed+1 {
			t.Errorf("frame %d was refused, and %d were sent after it", allowed+1, sent-allowed-1)
		}
	}
}

func TestSenderRefusesWhatTheReceiverWould(t *testing.T) {
	for misuse, create := range map[string]func(*wire.BlobSender){
		"a path as a name": func(s *wire.BlobSender) { _, _ = s.Create("../state") },
		"a name twice":     func(s *wire.BlobSender) { _, _ = s.Create("a"); _, _ = s.Create("a") },
		"a write to a blob that has ended": func(s *wire.BlobSender) {
			blob, _ := s.Create("a")
			_, _ = s.Create("b")
			_, _ = blob.Write([]byte("x"))
		},
		"a write after Close": func(s *wire.BlobSender) {
			blob, _ := s.Create("a")
			_ = s.Close()
			_, _ = blob.Write([]byte("x"))
		},
		"too many blobs": func(s *wire.BlobSender) {
			for i := range wire.MaxBlobs + 1 {
				_, _ = s.Create(strings.Repeat("b", i%100+1) + string(rune('a'+i/100)))
			}
		},
	} {
		sender := wire.NewBlobSender(func(*experimentv1.BlobFrame) error { return nil })
		create(sender)
		var protocol *wire.ProtocolError
		if err := sender.Close(); !errors.As(err, &protocol) {
			t.Errorf("%s: Close returned %v, want a ProtocolError", misuse, err)
		}
	}
}

func TestReaderPassesOnWhatBreaksTheStream(t *testing.T) {
	frames := send(t, 1<<30, []string{"state"}, map[string][]byte{"state": random(wire.ChunkSize + 1)})
	cut := errors.New("the connection is gone")
	for n := range frames {
		next := 0
		_, err := io.ReadAll(wire.NewBlobReader("state", func() (*experimentv1.BlobFrame, error) {
			if next == n {
				return nil, cut
			}
			next++
			return frames[next-1], nil
		}))
		if !errors.Is(err, cut) {
			t.Errorf("broken after %d of %d frames: got %v", n, len(frames), err)
		}
	}
	frames[1].GetChunk()[7] ^= 1
	next := -1
	_, err := io.ReadAll(wire.NewBlobReader("state", func() (*experimentv1.BlobFrame, error) { next++; return frames[next], nil }))
	var lost *wire.DataLossError
	if !errors.As(err, &lost) {
		t.Errorf("a flipped bit: got %v, want a DataLossError", err)
	}
}

// TestWriterMayUseItsBufferAgain holds the sender to what io.Writer asks: it keeps no part of the slice.
func TestWriterMayUseItsBufferAgain(t *testing.T) {
	want := random(3*wire.ChunkSize + 17)
	received := blobs{}
	assembler := wire.NewAssembler(received)
	sender := wire.NewBlobSender(assembler.Frame)
	blob, err := sender.Create("state")
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, wire.ChunkSize+100)
	for rest := want; len(rest) > 0; {
		n := copy(buffer, rest)
		if _, err := blob.Write(buffer[:n]); err != nil {
			t.Fatal(err)
		}
		clear(buffer)
		rest = rest[n:]
	}
	if err := errors.Join(sender.Close(), assembler.Done()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(received["state"], want) {
		t.Error("the blob that arrived is another one")
	}
}
