package sdk

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSpillIsAQueue holds a small ring to its order while it goes around many times.
func TestSpillIsAQueue(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := spill{limit: 2000}
	defer s.close()
	var written, read int64
	for round := range 200 {
		for s.append([]point{{tag: strings.Repeat("t", round), step: written}}) == nil {
			written++
		}
		if s.len() < 2 {
			t.Fatalf("round %d: only %d batches fit", round, s.len())
		}
		for range 1 + round%s.len() {
			points, err := s.next()
			if err != nil {
				t.Fatal(err)
			}
			if len(points) != 1 || points[0].GetStep() != uint64(read) {
				t.Fatalf("round %d: got %v, want the point of step %d", round, points, read)
			}
			read++
		}
	}
	if info, err := s.file.Stat(); err != nil || info.Size() > s.limit {
		t.Errorf("the file has %d bytes, and its limit is %d: %v", info.Size(), s.limit, err)
	}
	if left, err := filepath.Glob(filepath.Join(t.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestLoggingGoesOnOnceTheHostDoes is about a host that does not answer while the disk takes nothing: training waits,
// and no longer than the host.
func TestLoggingGoesOnOnceTheHostDoes(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	host := new(slowHost)
	metrics := newMetrics(t.Context(), host)
	defer metrics.close()
	host.gate.Lock()
	const points = 3 * maxQueued
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for i := range int64(points) {
			metrics.Scalar(i, "loss", float64(i))
		}
	}()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		metrics.mu.Lock()
		waits = metrics.waited
		metrics.mu.Unlock()
	}
	host.gate.Unlock()
	select {
	case <-logged:
	case <-time.After(tooLong):
		t.Fatal("training still waits, though the host answers")
	}
	if through, err := metrics.flush(); err != nil || through != points || len(host.points) != points {
		t.Fatalf("through %d, %v, %d points arrived", through, err, len(host.points))
	}
	for i, point := range host.points {
		if point.GetStep() != uint64(i) {
			t.Fatalf("point %d is of step %d: the order was lost", i, point.GetStep())
		}
	}
}

func TestLoggingIsNeverStuckOnAHostThatIsGone(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	host := &slowHost{err: errors.New("the host is gone")}
	metrics := newMetrics(t.Context(), host)
	for i := range int64(3 * maxQueued) {
		metrics.Scalar(i, "loss", 1)
	}
	if _, err := metrics.flush(); err == nil {
		t.Error("nothing was lost, it says")
	}
	metrics.close()
	metrics.Scalar(1, "loss", 1) // by a goroutine that the experiment has left running
}
