package sdk

import (
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

func TestSaveIsABarrierForMetrics(t *testing.T) {
	const perStep = 700
	host := new(testHost)
	host.onHeader = func(header *experimentv1.SaveHeader) error {
		if header.GetStep() == 4 {
			time.Sleep(2 * sendEvery) // a plugin that does not wait logs and sends more meanwhile
		}
		return nil
	}
	train(t, host, counterConfig{Steps: 41, Points: perStep, Fault: "saves little"})
	if len(host.saves) != 11 {
		t.Fatalf("%d checkpoints, want 10 and the final one", len(host.saves))
	}
	for _, saved := range host.saves {
		step, through := saved.header.GetStep(), saved.header.GetMetricsThrough()
		if through != step*perStep {
			t.Errorf("step %d: its metrics end at point %d, and %d were logged before it", step, through, step*perStep)
		}
		if uint64(saved.points) != through {
			t.Errorf("step %d: %d points had come before its header was answered, which says %d", step, saved.points, through)
		}
	}
}

func TestTrainingGoesOnWhileACheckpointBecomesDurable(t *testing.T) {
	host := new(testHost)
	var (
		once  sync.Once
		later = make(chan struct{}) // closed when a step behind the first checkpoint was trained
	)
	host.onPoints = func() {
		host.mu.Lock()
		defer host.mu.Unlock()
		if host.progress.GetStep() > 4 {
			once.Do(func() { close(later) })
		}
	}
	host.onCommit = func(header *experimentv1.SaveHeader) error {
		if header.GetStep() == 4 {
			select {
			case <-later:
			case <-time.After(tooLong):
				return status.Error(codes.Internal, "training waits for the checkpoint")
			}
		}
		return nil
	}
	p := startCounter(t)
	request := p.request(host, counterConfig{Steps: 7, Pause: 300_000, Points: 1}) // the next checkpoint is the final one
	if response := call(t, p, request); response.GetOutcome() != experimentv1.Outcome_OUTCOME_FINISHED {
		t.Errorf("got %v", response)
	}
}

func TestSavesDoNotOverlap(t *testing.T) {
	host := new(testHost)
	host.onCommit = func(*experimentv1.SaveHeader) error {
		time.Sleep(20 * time.Millisecond)
		return nil
	}
	p := startCounter(t)
	request := p.request(host, counterConfig{Steps: 20})
	request.Cadence.Steps = 1
	if response := call(t, p, request); response.GetOutcome() != experimentv1.Outcome_OUTCOME_FINISHED || host.overlap || len(host.saves) != 21 {
		t.Errorf("got %v; %d saves, overlapping: %t", response, len(host.saves), host.overlap)
	}
}

func TestFailedSaveFailsTheRunWithTheHostsReason(t *testing.T) {
	full := func(header *experimentv1.SaveHeader) error {
		if header.GetStep() >= 8 {
			return status.Error(codes.ResourceExhausted, "no space left on /outputs")
		}
		return nil
	}
	for name, arrange := range map[string]func(*testHost, *counterConfig){
		"before the blobs":           func(h *testHost, _ *counterConfig) { h.onHeader = full },
		"at the commit":              func(h *testHost, _ *counterConfig) { h.onCommit = full },
		"only the final one":         func(h *testHost, c *counterConfig) { h.onCommit = full; c.Steps = 9; c.Fault = "asks Stopped only" },
		"nobody looks at the errors": func(h *testHost, c *counterConfig) { h.onCommit = full; c.Fault = "ignores errors" },
	} {
		host, config := new(testHost), counterConfig{Steps: 400, Pause: 100}
		arrange(host, &config)
		response := train(t, host, config)
		message := response.GetFailure().GetMessage()
		if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FAILED || strings.Count(message, "no space left on /outputs") != 1 || !strings.Contains(message, "checkpoint at step") {
			t.Errorf("%s: got %v", name, response)
		}
		if config.Fault == "" && response.GetLastStep() > 200 {
			t.Errorf("%s: training went on to step %d", name, response.GetLastStep())
		}
	}
}

func TestAttemptThatFailsKeepsTheCheckpointUnderWay(t *testing.T) {
	host := new(testHost)
	host.onCommit = func(*experimentv1.SaveHeader) error {
		time.Sleep(300 * time.Millisecond) // by then, Train has failed
		return nil
	}
	p := startCounter(t)
	request := p.request(host, counterConfig{Steps: 10, Fault: "saves and fails"})
	request.Cadence = nil
	response := call(t, p, request)
	if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FAILED || response.GetFailure().GetMessage() != "the loss is NaN" {
		t.Errorf("got %v", response)
	}
	if step := host.last(t).header.GetStep(); step != 5 {
		t.Errorf("the last checkpoint is of step %d", step)
	}
}

// The host does not answer until training is over, and then slowly.
func TestFloodReachesASlowHostInOrderAndWithoutGaps(t *testing.T) {
	const perStep = 30_000
	host, p := new(testHost), startCounter(t)
	host.onPoints = func() {
		if !p.has("counted") {
			within(t, "the end of training, which waits for a host that is slow", func() bool { return p.has("counted") })
		}
		time.Sleep(time.Millisecond)
	}
	request := p.request(host, counterConfig{Steps: 10, Points: perStep})
	request.Cadence = nil
	call(t, p, request)
	if len(host.points) != 10*perStep || host.gap || host.largest > wire.MaxBatchPoints {
		t.Fatalf("%d points arrived, in batches of up to %d, with gaps: %t", len(host.points), host.largest, host.gap)
	}
	for i, point := range host.points {
		if point.GetStep() != uint64(i/perStep+1) || point.GetValue() != float64(i%perStep) {
			t.Fatalf("point %d is %v", i+1, point)
		}
	}
}
