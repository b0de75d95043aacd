package tensorboard_test

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// failureDir names the directory for the process that TestNothingFollowsATornRecord starts.
const failureDir = "MTT_TEST_FAILURE_DIR"

// The limit of a file's size goes for a whole process, so the writer fails in one of its own.
func TestNothingFollowsATornRecord(t *testing.T) {
	if dir := os.Getenv(failureDir); dir != "" {
		failWriting(t, dir)
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), failureDir+"="+dir)
	if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Fatalf("%v\n%s", err, out)
	}
	before := curves(t, dir)
	if len(before["loss"]) == 0 {
		t.Error("the records before the torn one are lost")
	}
	attempt(t, dir, 2, checkpoint{}, 0, 0, 50)
	if got := curves(t, dir); len(got["loss"]) != 51 {
		t.Errorf("the next attempt shows %d points, want 51", len(got["loss"]))
	}
}

func failWriting(t *testing.T, dir string) {
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	const limit = 5000
	signal.Ignore(syscall.SIGXFSZ)
	var usual syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &usual); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: usual.Max}); err != nil {
		t.Fatal(err)
	}
	points := make([]tensorboard.Point, 1000)
	for i := range points {
		points[i] = tensorboard.Point{Tag: "loss", Step: int64(i), Value: 1}
	}
	if err := writer.Add(points); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.PlaceAfter(1000); err == nil || !strings.Contains(err.Error(), writer.Name()) {
		t.Errorf("a full disk: got %v, want an error that names the file", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &usual); err != nil { // now there would be room
		t.Fatal(err)
	}
	if err := writer.Add(points); err == nil {
		t.Error("Add after the failure: no error")
	}
	if _, err := writer.PlaceAfter(0); err == nil {
		t.Error("PlaceAfter after the failure: no error")
	}
	if err := writer.Close(); err == nil {
		t.Error("Close after the failure: no error")
	}
	info, err := os.Stat(filepath.Join(dir, writer.Name()))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != limit {
		t.Errorf("the file has %d bytes, want the %d that there was room for", info.Size(), limit)
	}
}

func TestClosedWriterFails(t *testing.T) {
	writer, err := tensorboard.Create(t.TempDir(), tensorboard.Options{Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writer.Add([]tensorboard.Point{{Tag: "loss"}}); err == nil {
		t.Error("Add: no error")
	}
	if _, err := writer.PlaceAfter(0); err == nil {
		t.Error("PlaceAfter: no error")
	}
	if err := writer.Close(); err == nil {
		t.Error("a second Close: no error")
	}
}

func TestPointsAreAddedWhileOthersAreMadeDurable(t *testing.T) {
	dir := t.TempDir()
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	const batches, size = 200, 500 // more than one write's worth
	added := make(chan uint64, batches)
	var adding sync.WaitGroup
	adding.Go(func() {
		defer close(added)
		for batch := range batches {
			points := make([]tensorboard.Point, size)
			for i := range points {
				points[i] = tensorboard.Point{Tag: "loss", Step: int64(batch*size + i)}
			}
			if err := writer.Add(points); err != nil {
				t.Error(err)
			}
			added <- uint64(batch+1) * size
		}
	})
	last := tensorboard.Place{}
	for n := range added {
		place, err := writer.PlaceAfter(n)
		if err != nil {
			t.Fatal(err)
		}
		if place.Bytes <= last.Bytes {
			t.Errorf("point %d is at %d, after %d", n, place.Bytes, last.Bytes)
		}
		last = place
	}
	adding.Wait()
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, last.File))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(curves(t, dir)["loss"]); got != batches*size || uint64(info.Size()) != last.Bytes {
		t.Errorf("%d points in %d bytes, want %d in %d", got, info.Size(), batches*size, last.Bytes)
	}
}
