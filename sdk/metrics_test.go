package sdk

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// slowHost takes metrics, keeps them, and can be held up.
type slowHost struct {
	mu       sync.Mutex
	gate     sync.Mutex // held: the host does not answer
	points   []*experimentv1.ScalarPoint
	progress *experimentv1.Progress
	largest  int
	err      error
}

func (h *slowHost) LogMetrics(_ context.Context, request *experimentv1.LogMetricsRequest, _ ...grpc.CallOption) (*experimentv1.LogMetricsResponse, error) {
	h.gate.Lock()
	defer h.gate.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return nil, h.err
	}
	if n := len(request.GetScalars()); n > 0 && request.GetFirst() != uint64(len(h.points))+1 {
		return nil, errors.New("a gap in the numbers")
	}
	if request.GetProgress() != nil {
		h.progress = request.GetProgress()
	}
	h.largest = max(h.largest, len(request.GetScalars()))
	h.points = append(h.points, request.GetScalars()...)
	return &experimentv1.LogMetricsResponse{Through: uint64(len(h.points))}, nil
}

func TestTrainingDoesNotWaitForAHostThatDoesNotAnswer(t *testing.T) {
	host := new(slowHost)
	metrics := newMetrics(t.Context(), host)
	defer metrics.close()
	host.gate.Lock()
	const points = 3*maxQueued + 123
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for i := range int64(points) {
			metrics.Scalar(i, "loss", float64(i))
		}
	}()
	select {
	case <-logged: // while the host still holds the gate
	case <-time.After(time.Minute):
		t.Fatal("training waits for the host")
	}
	metrics.mu.Lock()
	spilled := metrics.spill.len()
	metrics.mu.Unlock()
	if spilled == 0 {
		t.Error("nothing was spilled, though more was logged than fits into memory")
	}
	host.gate.Unlock()
	through, err := metrics.flush()
	if err != nil || through != points {
		t.Fatalf("flush: through %d, %v", through, err)
	}
	for i, point := range host.points {
		if point.GetStep() != uint64(i) || point.GetValue() != float64(i) {
			t.Fatalf("point %d is of step %d: the order was lost", i, point.GetStep())
		}
	}
	if len(host.points) != points || host.largest > wire.MaxBatchPoints {
		t.Errorf("%d points arrived in batches of up to %d", len(host.points), host.largest)
	}
}

func TestFlushIsABarrier(t *testing.T) {
	host := new(slowHost)
	metrics := newMetrics(t.Context(), host)
	defer metrics.close()
	for round := range int64(20) {
		for range round {
			metrics.Scalar(round, "loss", math.NaN())
		}
		through, err := metrics.flush()
		if err != nil {
			t.Fatal(err)
		}
		host.mu.Lock()
		if got := uint64(len(host.points)); got != through {
			t.Errorf("the host has %d points behind a flush through %d", got, through)
		}
		host.mu.Unlock()
	}
}

func TestWrongTagAndRefusalAreErrorsOfTheNextFlush(t *testing.T) {
	for name, fail := range map[string]func(*Metrics, *slowHost){
		"is empty":      func(m *Metrics, _ *slowHost) { m.Scalar(1, "", 1) },
		"reserved":      func(m *Metrics, _ *slowHost) { m.Scalar(1, "mtt/x", 1) },
		"at step -1":    func(m *Metrics, _ *slowHost) { m.Scalar(-1, "loss", 1) },
		"the disk died": func(m *Metrics, h *slowHost) { h.err = errors.New("the disk died"); m.Scalar(1, "loss", 1) },
	} {
		host := new(slowHost)
		metrics := newMetrics(t.Context(), host)
		fail(metrics, host)
		if _, err := metrics.flush(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
		metrics.Scalar(2, "loss", 1) // and nothing hangs
		metrics.close()
	}
}

func TestProgressArrivesWithoutPoints(t *testing.T) {
	host := new(slowHost)
	metrics := newMetrics(t.Context(), host)
	defer metrics.close()
	metrics.progress(7, 10)
	for range 1000 {
		host.mu.Lock()
		progress := host.progress
		host.mu.Unlock()
		if progress.GetStep() == 7 && progress.GetTotalSteps() == 10 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the progress did not arrive")
}

// discard is a host that takes everything at once.
type discard struct{}

func (discard) LogMetrics(_ context.Context, request *experimentv1.LogMetricsRequest, _ ...grpc.CallOption) (*experimentv1.LogMetricsResponse, error) {
	return &experimentv1.LogMetricsResponse{Through: request.GetFirst() + uint64(len(request.GetScalars())) - 1}, nil
}

func BenchmarkScalar(b *testing.B) {
	metrics := newMetrics(b.Context(), discard{})
	defer metrics.close()
	b.ReportAllocs()
	for i := range int64(b.N) {
		metrics.Scalar(i, "train/loss", 0.5)
	}
}
