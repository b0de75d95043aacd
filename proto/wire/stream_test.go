package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// blobs is a Sink that keeps what is complete.
type blobs map[string][]byte

type blob struct {
	bytes.Buffer
	name string
	to   blobs
}

func (b blobs) Create(name string) (io.WriteCloser, error) { return &blob{name: name, to: b}, nil }

func (b *blob) Close() error {
	b.to[b.name] = b.Bytes()
	return nil
}

// send returns the frames of some blobs, each written in pieces of at most piece bytes.
func send(t testing.TB, piece int, names []string, content map[string][]byte) (frames []*experimentv1.BlobFrame) {
	t.Helper()
	sender := wire.NewBlobSender(func(frame *experimentv1.BlobFrame) error {
		frames = append(frames, proto.Clone(frame).(*experimentv1.BlobFrame))
		return nil
	})
	for _, name := range names {
		to, err := sender.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for rest := content[name]; len(rest) > 0; {
			n, err := to.Write(rest[:min(piece, len(rest))])
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
	}
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	return frames
}

func receive(frames []*experimentv1.BlobFrame) (blobs, error) {
	received := blobs{}
	assembler := wire.NewAssembler(received)
	for _, frame := range frames {
		if err := assembler.Frame(frame); err != nil {
			return received, err
		}
	}
	return received, assembler.Done()
}

func random(n int) []byte {
	generator := rand.NewChaCha8([32]byte{1})
	content := make([]byte, n)
	_, _ = generator.Read(content)
	return content
}

func TestBlobsArriveAsTheyWereSent(t *testing.T) {
	content := map[string][]byte{
		"empty": nil, "small": []byte("x"), "chunk": random(wire.ChunkSize), "large": random(3*wire.ChunkSize + 17),
	}
	names := []string{"large", "empty", "small", "chunk"}
	for _, piece := range []int{1000, wire.ChunkSize - 1, wire.ChunkSize, wire.ChunkSize + 1, 1 << 30} {
		frames := send(t, piece, names, content)
		for _, frame := range frames {
			if size := proto.Size(frame); size > wire.MaxMessageBytes-1024 {
				t.Errorf("a frame has %d bytes", size)
			}
		}
		received, err := receive(frames)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !bytes.Equal(received[name], content[name]) {
				t.Errorf("in pieces of %d: blob %s arrived with %d bytes, want %d", piece, name, len(received[name]), len(content[name]))
			}
		}
	}
}

func TestReaderEndsOnlyBehindAVerifiedBlob(t *testing.T) {
	content := random(2*wire.ChunkSize + 5)
	frames := send(t, 1<<30, []string{"state"}, map[string][]byte{"state": content})
	for n := range len(frames) + 1 {
		next := 0
		read, err := io.ReadAll(wire.NewBlobReader("state", func() (*experimentv1.BlobFrame, error) {
			if next == n {
				return nil, io.EOF
			}
			next++
			return frames[next-1], nil
		}))
		switch {
		case n == len(frames) && (err != nil || !bytes.Equal(read, content)):
			t.Errorf("the whole blob: %d bytes, %v", len(read), err)
		case n < len(frames) && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%d of %d frames: got error %v", n, len(frames), err)
		}
	}
	if _, err := io.ReadAll(wire.NewBlobReader("other", func() (*experimentv1.BlobFrame, error) { return frames[0], nil })); err == nil {
		t.Error("a blob of another name was read")
	}
}

func start(name string) *experimentv1.BlobFrame {
	return &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: name}}
}

func chunk(content string) *experimentv1.BlobFrame {
	return &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: []byte(content)}}
}

func end(size uint64, crc uint32) *experimentv1.BlobFrame {
	return &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_End{End: &experimentv1.BlobEnd{Size: size, Crc32C: crc}}}
}

func TestBrokenRulesAreRefusedByType(t *testing.T) {
	tooMany := []*experimentv1.BlobFrame{}
	for i := range wire.MaxBlobs + 1 {
		tooMany = append(tooMany, start("b"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))), end(0, 0))
	}
	for name, frames := range map[string][]*experimentv1.BlobFrame{
		"no end":             {start("a"), chunk("x")},
		"chunk outside":      {chunk("x")},
		"end outside":        {end(0, 0)},
		"blob within a blob": {start("a"), start("b")},
		"same name twice":    {start("a"), end(0, 0), start("a")},
		"path as a name":     {start("../a")},
		"empty name":         {start("")},
		"empty chunk":        {start("a"), chunk("")},
		"huge chunk":         {start("a"), chunk(string(random(wire.ChunkSize + 1)))},
		"empty frame":        {{}},
		"too many blobs":     tooMany,
	} {
		_, err := receive(frames)
		var protocol *wire.ProtocolError
		if !errors.As(err, &protocol) {
			t.Errorf("%s: got %v, want a ProtocolError", name, err)
		}
	}
	for name, frames := range map[string][]*experimentv1.BlobFrame{
		"wrong size": {start("a"), chunk("x"), end(2, 0xb5bdbe5b)},
		"wrong sum":  {start("a"), chunk("x"), end(1, 1)},
	} {
		received, err := receive(frames)
		var lost *wire.DataLossError
		if !errors.As(err, &lost) || lost.Blob != "a" {
			t.Errorf("%s: got %v, want a DataLossError", name, err)
		}
		if len(received) > 0 {
			t.Errorf("%s: the blob was completed all the same", name)
		}
	}
}

// FuzzAssembler feeds any sequence of frames. What is completed must have been announced with its size and sum.
func FuzzAssembler(f *testing.F) {
	marshal := func(frames ...*experimentv1.BlobFrame) []byte {
		var all []byte
		for _, frame := range frames {
			message, err := proto.Marshal(frame)
			if err != nil {
				f.Fatal(err)
			}
			all = append(append(all, byte(len(message))), message...)
		}
		return all
	}
	f.Add(marshal(send(f, 10, []string{"a", "b"}, map[string][]byte{"a": []byte("hello"), "b": nil})...))
	f.Add(marshal(start("a"), start("a")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		received := blobs{}
		assembler := wire.NewAssembler(received)
		for len(raw) > 0 {
			n := min(int(raw[0]), len(raw)-1)
			frame := new(experimentv1.BlobFrame)
			if proto.Unmarshal(raw[1:1+n], frame) != nil {
				return
			}
			raw = raw[1+n:]
			before := len(received)
			err := assembler.Frame(frame)
			if len(received) > before && (err != nil || frame.GetEnd() == nil) {
				t.Fatalf("a blob was completed by %v with error %v", frame, err)
			}
			if err != nil {
				return
			}
		}
	})
}

func TestNamesAndTags(t *testing.T) {
	for tag, good := range map[string]bool{
		"train/loss": true, "Genauigkeit ä": true, "": false, "mtt/x": false, "\xff": false,
		"tab\t": false, "line\n": false, "\x00": false, "del\x7f": false, "c1 \u0085": false, string(random(600)): false,
	} {
		if err := wire.CheckTag(tag); (err == nil) != good {
			t.Errorf("tag %.20q: %v", tag, err)
		}
	}
	for name, good := range map[string]bool{"digits": true, "a-1": true, "1a": false, "A": false, "": false, "a/b": false} {
		if wire.ValidName(name) != good {
			t.Errorf("name %q: valid is %v", name, !good)
		}
	}
}
