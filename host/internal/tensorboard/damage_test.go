package tensorboard_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

func TestDamagedHistoryIsSaidAndTheReadablePartKept(t *testing.T) {
	source := t.TempDir()
	offset := attempt(t, source, 1, nil, 0, 20, 20)
	whole, err := os.ReadFile(filepath.Join(source, offset.File))
	if err != nil {
		t.Fatal(err)
	}
	all := curves(t, source)["loss"]
	flipped := bytes.Clone(whole)
	flipped[len(whole)/2] ^= 1
	for name, content := range map[string][]byte{"flipped": flipped, "cut": whole[:len(whole)/2]} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, offset.File), content, 0o600); err != nil {
			t.Fatal(err)
		}
		writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 2, Resume: offset})
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		var damage *tensorboard.DamageError
		if !errors.As(writer.Warning(), &damage) || damage.Offset == 0 || damage.Offset > int64(len(whole)/2) {
			t.Errorf("%s: the warning is %v, want the place of the damage", name, writer.Warning())
		}
		kept := curves(t, dir)["loss"] // of a reader that the damaged file does not stop
		if len(kept) < len(all)/3 || len(kept) > len(all)*2/3 {
			t.Errorf("%s: %d of %d points are kept, want about half", name, len(kept), len(all))
		}
		for i, p := range kept {
			if p != all[i] {
				t.Errorf("%s: point %d is %v, want %v", name, i, p, all[i])
			}
		}
	}
}

func TestMissingHistoryIsSaid(t *testing.T) {
	dir := t.TempDir()
	offset := attempt(t, dir, 1, nil, 0, 20, 20)
	if err := os.Remove(filepath.Join(dir, offset.File)); err != nil {
		t.Fatal(err)
	}
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 2, Resume: offset})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if !errors.Is(writer.Warning(), os.ErrNotExist) {
		t.Errorf("got %v", writer.Warning())
	}
}

func TestDamageOfTheNewestFileIsSaidWithTheCurvesUpToIt(t *testing.T) {
	dir := t.TempDir()
	offset := attempt(t, dir, 1, nil, 0, 20, 20)
	path := filepath.Join(dir, offset.File)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := tensorboard.Curves(dir)
	var damage *tensorboard.DamageError
	if !errors.As(err, &damage) || len(read["loss"]) == 0 {
		t.Errorf("got %d points of loss, and error %v", len(read["loss"]), err)
	}
}
