package tensorboard_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// FuzzReader begins with testdata/fuzz: a file as it should be, one cut short, one with a flipped byte, one that
// claims a record of 2^63 bytes, one whose record is no Event, and of a resumed attempt one that hides and repeats points,
// and one that ends within what hides them.
func FuzzReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "events.out.tfevents.1.fuzz"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tensorboard.Curves(dir)
		var damage *tensorboard.DamageError
		if err != nil && (!errors.As(err, &damage) || errors.Is(err, io.ErrUnexpectedEOF)) {
			t.Errorf("got %v, want a DamageError", err)
		}
		resumed, err := tensorboard.Create(dir, tensorboard.Options{
			Attempt: 2,
			Kept:    []tensorboard.Place{{File: "events.out.tfevents.1.fuzz", Bytes: uint64(len(content)) / 2}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := resumed.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
