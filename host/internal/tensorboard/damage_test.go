package tensorboard_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

func TestDamageOfWhatIsKeptIsFoundInEveryFile(t *testing.T) {
	source := t.TempDir()
	first := attempt(t, source, 1, checkpoint{}, 0, 20, 25)
	second := attempt(t, source, 2, first, 21, 30, 35)
	if err := tensorboard.Verify(source, second.kept); err != nil {
		t.Fatal(err)
	}
	for i, part := range second.kept {
		path := filepath.Join(source, part.File)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range part.Bytes {
			flip(t, path, int64(at))
			found(t, source, second, i, at)
			flip(t, path, int64(at))
		}
		for _, left := range []uint64{0, part.Bytes / 2, part.Bytes - 1} {
			write(t, path, whole[:left])
			found(t, source, second, i, left)
		}
		write(t, path, whole)
		flip(t, path, int64(len(whole))-1)
		if err := tensorboard.Verify(source, second.kept); err != nil {
			t.Errorf("damage behind what is kept: %v", err)
		}
		flip(t, path, int64(len(whole))-1)
	}
	if err := os.Remove(filepath.Join(source, second.kept[0].File)); err != nil {
		t.Fatal(err)
	}
	if err := tensorboard.Verify(source, second.kept); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// found wants Verify to tell that the i-th file that is kept is damaged at about a byte, also where the checksum of all
// of it is not recorded, as in a manifest of version 1.
func found(t *testing.T, dir string, saved checkpoint, i int, at uint64) {
	t.Helper()
	path := filepath.Join(dir, saved.kept[i].File)
	unrecorded := slices.Clone(saved.kept)
	for i := range unrecorded {
		unrecorded[i].CRC32C = 0
	}
	for _, kept := range [][]tensorboard.Place{saved.kept, unrecorded} {
		var damage *tensorboard.DamageError
		if err := tensorboard.Verify(dir, kept); !errors.As(err, &damage) || damage.File != path || damage.Offset > int64(at) || damage.Offset < int64(at)-100 {
			t.Errorf("file %d is damaged at byte %d: %v", i, at, err)
		}
	}
}

func TestFileOfAnotherContentIsFoundAlthoughItsRecordsAreWhole(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	saved, more := attempt(t, dir, 1, checkpoint{}, 0, 20, 20), attempt(t, other, 1, checkpoint{}, 1, 30, 30)
	content, err := os.ReadFile(filepath.Join(other, more.kept[0].File))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, saved.kept[0].File), content)
	if err := tensorboard.Verify(dir, saved.kept); err == nil {
		t.Error("it was taken for what was written")
	}
}

// flip flips a bit of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var content [1]byte
	if _, err := file.ReadAt(content[:], at); err != nil {
		t.Fatal(err)
	}
	content[0] ^= 1
	if _, err := file.WriteAt(content[:], at); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageOfWhatIsHiddenIsAWarning(t *testing.T) {
	dir := t.TempDir()
	saved := attempt(t, dir, 1, checkpoint{}, 0, 20, 25)
	path := filepath.Join(dir, saved.kept[0].File)
	flip(t, path, int64(saved.kept[0].Bytes)+20)
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 2, Kept: saved.kept, LastSteps: saved.lastSteps})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	var damage *tensorboard.DamageError
	if !errors.As(writer.Warning(), &damage) || damage.Offset != int64(saved.kept[0].Bytes) {
		t.Errorf("the warning is %v", writer.Warning())
	}
}

func TestDamageIsSaidWithTheCurvesThatAreLeft(t *testing.T) {
	dir := t.TempDir()
	saved := attempt(t, dir, 1, checkpoint{}, 0, 20, 20)
	path := filepath.Join(dir, saved.kept[0].File)
	flip(t, path, int64(saved.kept[0].Bytes)/2)
	read, err := tensorboard.Curves(dir)
	var damage *tensorboard.DamageError
	if !errors.As(err, &damage) || len(read["loss"]) == 0 {
		t.Errorf("got %d points of loss, and error %v", len(read["loss"]), err)
	}
}
