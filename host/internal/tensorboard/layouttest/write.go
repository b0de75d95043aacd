package layouttest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// File is an event file as a kill has left it.
type File struct {
	Name    string
	Content []byte
}

// place is where a checkpoint's curves end, as a manifest and the records of its attempt tell it.
type place struct {
	kept      []tensorboard.Place
	lastSteps map[string]int64
}

// Write has package tensorboard write the event file of each attempt, and returns them as they are in the end; one of an
// attempt that has written nothing is the zero File.
func (e Experiment) Write(t testing.TB) []File {
	t.Helper()
	dir := scratch(t)
	defer os.RemoveAll(dir)
	random := rand.New(rand.NewPCG(e.Seed, 1))
	places := map[Checkpoint]place{}
	files := make([]File, len(e.Attempts))
	for n, a := range e.Attempts {
		var resumed place
		if a.Resumed != nil {
			resumed = places[*a.Resumed]
		}
		writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: n + 1, Kept: resumed.kept, LastSteps: resumed.lastSteps})
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Warning(); err != nil {
			t.Fatal(err)
		}
		durable := uint64(0)
		for points, saved := range a.log(t, writer, random, resumed) {
			places[Checkpoint{n, points}] = saved
			if own := saved.kept; len(own) > 0 && own[len(own)-1].Attempt == n+1 {
				durable = max(durable, own[len(own)-1].Bytes)
			}
			if err := tensorboard.Verify(dir, saved.kept); err != nil {
				t.Fatal(err)
			}
		}
		files[n] = tear(t, filepath.Join(dir, writer.Name()), durable, a.Kept)
	}
	return files
}

// scratch makes a directory, in memory where that is possible: a disk takes longer to make the files durable than all else.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "layouttest")
	if err != nil {
		return t.TempDir()
	}
	return dir
}

// log logs all points of an attempt, in batches, and returns its checkpoints by their numbers of points. Each asks for
// its place some points later, as a save does that arrives while more are logged.
func (a Attempt) log(t testing.TB, writer *tensorboard.Writer, random *rand.Rand, resumed place) map[int]place {
	t.Helper()
	saves := map[int]place{}
	waiting := slices.Clone(a.Saves)
	logged := 0
	for logged < len(a.Points) || len(waiting) > 0 {
		batch := min(random.IntN(4), len(a.Points)-logged)
		if err := writer.Add(a.Points[logged : logged+batch]); err != nil {
			t.Fatal(err)
		}
		logged += batch
		for len(waiting) > 0 && waiting[0] <= logged && random.IntN(2) == 0 {
			at, err := writer.PlaceAfter(uint64(waiting[0]))
			if err != nil {
				t.Fatal(err)
			}
			saves[waiting[0]] = place{resumed.upTo(at), writer.LastSteps()}
			waiting = waiting[1:]
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return saves
}

// upTo is what is kept up to a place of the attempt that resumed from p.
func (p place) upTo(at tensorboard.Place) []tensorboard.Place {
	if at.File == "" || len(p.kept) > 0 && at == p.kept[len(p.kept)-1] {
		return p.kept
	}
	return append(slices.Clip(p.kept), at)
}

// tear takes away a part of a file behind the bytes that are durable, as a kill does, and returns what is left.
func tear(t testing.TB, path string, durable uint64, kept float64) File {
	t.Helper()
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return File{}
	}
	if err != nil {
		t.Fatal(err)
	}
	left := durable + uint64(kept*float64(uint64(len(content))-durable))
	if err := os.Truncate(path, int64(left)); err != nil {
		t.Fatal(err)
	}
	return File{filepath.Base(path), content[:left]}
}

// Alone returns the event file of a run that logs points and is never disturbed.
func Alone(t testing.TB, points []tensorboard.Point) File {
	t.Helper()
	alone := Experiment{Attempts: []Attempt{{Points: points, Kept: 1}}}
	return alone.Write(t)[0]
}
