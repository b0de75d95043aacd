package sdk

import (
	"bytes"
	"context"
	"maps"
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

func TestResultIsInTheFinalCheckpoint(t *testing.T) {
	host := new(testHost)
	response := train(t, host, counterConfig{Steps: 10, Points: 1})
	final := host.last(t)
	if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FINISHED || response.GetLastStep() != 10 {
		t.Fatalf("got %v", response)
	}
	if final.header.GetReason() != experimentv1.Reason_REASON_FINAL || final.header.GetStep() != 10 {
		t.Errorf("the last checkpoint is %v", final.header)
	}
	if want := map[string]float64{"count": 10}; !maps.Equal(response.GetResult(), want) || !maps.Equal(final.header.GetResult(), want) {
		t.Errorf("result %v, in the checkpoint %v", response.GetResult(), final.header.GetResult())
	}
	if !bytes.Equal(final.blobs["counter"], []byte{10, 0, 0, 0, 0, 0, 0, 0}) || len(final.blobs["zeros"]) != 3<<20 {
		t.Errorf("the state did not arrive: %d blobs", len(final.blobs))
	}
	if host.progress.GetStep() != 10 || host.progress.GetTotalSteps() != 10 {
		t.Errorf("the last progress that the host knows is %v", host.progress)
	}
	for i, step := range []uint64{4, 8} {
		if header := host.saves[i].header; header.GetStep() != step || header.GetReason() != experimentv1.Reason_REASON_PERIODIC {
			t.Errorf("checkpoint %d is %v, want a periodic one at step %d", i+1, header, step)
		}
	}
}

func TestExperimentWithoutStateFinishesToo(t *testing.T) {
	host := new(testHost)
	response := train(t, host, counterConfig{Fault: "has no state"})
	final := host.last(t)
	if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FINISHED || final.header.GetReason() != experimentv1.Reason_REASON_FINAL || len(final.blobs) > 0 {
		t.Errorf("got %v, and the checkpoint %v with %d blobs", response, final.header, len(final.blobs))
	}
}

func TestEndOfTrainIsReportedForWhatItWas(t *testing.T) {
	for fault, want := range map[string]struct {
		outcome experimentv1.Outcome
		message string
		stack   string
	}{
		"panics":              {experimentv1.Outcome_OUTCOME_PANICKED, "a panic in Train", "misbehave"},
		"breaks":              {experimentv1.Outcome_OUTCOME_PANICKED, "index out of range", "misbehave"},
		"save panics":         {experimentv1.Outcome_OUTCOME_PANICKED, "a panic in Save", "counter).Save"},
		"exits its goroutine": {experimentv1.Outcome_OUTCOME_FAILED, "ended its goroutine", ""},
		"fails":               {experimentv1.Outcome_OUTCOME_FAILED, `the loss is \xff`, ""},
		"fails at length":     {experimentv1.Outcome_OUTCOME_FAILED, "xxx… (9934504 bytes more)", ""},
		"panics at length":    {experimentv1.Outcome_OUTCOME_PANICKED, "xxx… (9934504 bytes more)", "misbehave"},
		"returns too much":    {experimentv1.Outcome_OUTCOME_FAILED, "the result has 200000 names: at most 1000", ""},
		"returns no name":     {experimentv1.Outcome_OUTCOME_FAILED, "a name in the result is empty", ""},
		"save fails":          {experimentv1.Outcome_OUTCOME_FAILED, "the state cannot be read from the accelerator", ""},
		"stops by itself":     {experimentv1.Outcome_OUTCOME_FAILED, "nobody had asked it to stop", ""},
		"never resumes":       {experimentv1.Outcome_OUTCOME_FINISHED, "", ""},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			host, p := new(testHost), startCounter(t)
			request := p.request(host, counterConfig{Steps: 10, Points: 3, Fault: fault})
			request.Cadence = nil // so that the final checkpoint is the only one
			response := call(t, p, request)
			failure := response.GetFailure()
			if response.GetOutcome() != want.outcome || !strings.Contains(failure.GetMessage(), want.message) || !strings.Contains(failure.GetStack(), want.stack) {
				t.Errorf("got %v", response)
			}
			if points := uint64(len(host.points)); points != 3*response.GetLastStep() {
				t.Errorf("%d metrics arrived of the %d of %d steps", points, 3*response.GetLastStep(), response.GetLastStep())
			}
			if want.outcome != experimentv1.Outcome_OUTCOME_FINISHED && response.GetResult() != nil {
				t.Error("a run that has failed has a result")
			}
		})
	}
}

func TestTagThatTheWireDoesNotAdmitIsTheExperimentsFault(t *testing.T) {
	host, p := new(testHost), startCounter(t)
	_, err := p.Train(t.Context(), p.request(host, counterConfig{Steps: 10, Points: 3, Fault: "logs under mtt/"}))
	if status.Code(err) != codes.OutOfRange || !strings.Contains(err.Error(), "reserved for mtt") {
		t.Errorf("got %v", err)
	}
	if len(host.points) == 0 {
		t.Error("what was logged besides did not arrive")
	}
}

func TestTagBeyondTheLimitFailsTheRunAndIsNotSent(t *testing.T) {
	host := new(testHost)
	response := train(t, host, counterConfig{Steps: 10, Fault: "logs too many tags"})
	if message := response.GetFailure().GetMessage(); !strings.Contains(message, "tag/10000 is one too many: a run has at most 10000 tags") {
		t.Errorf("got %q", message)
	}
	if len(host.points) != wire.MaxTags {
		t.Errorf("%d points arrived", len(host.points))
	}
}

func TestStopLeavesACheckpointOfTheLastStep(t *testing.T) {
	for _, fault := range []string{"", "asks Stopped only"} {
		host, p := new(testHost), startCounter(t)
		host.onPoints = func() { // training is under way
			for range 2 {
				if _, err := p.Stop(t.Context(), new(experimentv1.StopRequest)); err != nil {
					t.Error(err)
				}
			}
		}
		request := p.request(host, counterConfig{Steps: 1 << 40, Pause: 1000, Points: 1, Fault: fault})
		request.Cadence = nil
		response := call(t, p, request)
		last := host.last(t)
		if response.GetOutcome() != experimentv1.Outcome_OUTCOME_STOPPED {
			t.Fatalf("%q: got %v", fault, response)
		}
		if last.header.GetReason() != experimentv1.Reason_REASON_STOP || last.header.GetStep() != response.GetLastStep() || len(host.saves) != 1 {
			t.Errorf("%q: stopped at step %d, with %d checkpoints, the last %v", fault, response.GetLastStep(), len(host.saves), last.header)
		}
	}
}

func TestCheckpointThatWasNotLoadedIsNotTrainedOver(t *testing.T) {
	for _, fault := range []string{"never resumes", "never resumes and saves", "never resumes and stops", "ignores errors"} {
		host, p := new(testHost), startCounter(t)
		request := resumed(host, p.request(host, counterConfig{Steps: 10, Fault: fault}))
		switch fault {
		case "ignores errors":
			delete(host.stored, "zeros")
		case "never resumes and stops":
			if _, err := p.Stop(t.Context(), new(experimentv1.StopRequest)); err != nil {
				t.Fatal(err)
			}
		}
		response := call(t, p, request)
		if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FAILED || !strings.Contains(response.GetFailure().GetMessage(), "checkpoint at step 3, which the experiment did not load") {
			t.Errorf("%s: got %v", fault, response)
		}
		if len(host.saves) > 0 {
			t.Errorf("%s: a checkpoint was saved all the same", fault)
		}
	}
}

func TestResumedRunGoesOnFromItsCheckpoint(t *testing.T) {
	host, p := new(testHost), startCounter(t)
	response := call(t, p, resumed(host, p.request(host, counterConfig{Steps: 10, Points: 1})))
	if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FINISHED || response.GetResult()["count"] != 10 {
		t.Fatalf("got %v", response)
	}
	if first := host.points[0].GetStep(); first != 4 || len(host.points) != 7 {
		t.Errorf("resumed at step 3, it trained %d steps from step %d", len(host.points), first)
	}
}

// The counter does not look at the content of its second blob.
func TestDamagedBlobIsNotLoadedThoughItsEndIsNotRead(t *testing.T) {
	host, p := new(testHost), startCounter(t)
	request := resumed(host, p.request(host, counterConfig{Steps: 10}))
	host.damage = func(frame *experimentv1.BlobFrame) {
		if len(frame.GetChunk()) > 1000 {
			damaged := bytes.Clone(frame.GetChunk()) // what is stored stays whole
			damaged[len(damaged)-1] ^= 1
			frame.Frame = &experimentv1.BlobFrame_Chunk{Chunk: damaged}
		}
	}
	response := call(t, p, request)
	if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FAILED || !strings.Contains(response.GetFailure().GetMessage(), `blob "zeros" did not arrive as it was sent`) {
		t.Errorf("got %v", response)
	}
}

func TestBrokenCallIsAStatusAndNoOutcome(t *testing.T) {
	t.Run("second call", func(t *testing.T) {
		host, p := new(testHost), startCounter(t)
		call(t, p, p.request(host, counterConfig{}))
		_, err := p.Train(t.Context(), p.request(host, counterConfig{}))
		wantCode(t, err, codes.FailedPrecondition)
	})
	for what, config := range map[string]string{
		"unknown key": `{"steps": 1, "stpes": 2}`, "another case": `{"Steps": 1}`, "wrong type": `{"steps": "1"}`, "no JSON": `{`, "more": `{} {}`,
	} {
		t.Run(what, func(t *testing.T) {
			host, p := new(testHost), startCounter(t)
			request := p.request(host, counterConfig{})
			request.ConfigJson = []byte(config)
			_, err := p.Train(t.Context(), request)
			wantCode(t, err, codes.InvalidArgument)
		})
	}
	t.Run("no host services", func(t *testing.T) {
		t.Parallel() // the broker waits
		p := startCounter(t)
		_, err := p.Train(t.Context(), &experimentv1.TrainRequest{ConfigJson: []byte(`{}`), HostServices: 77})
		wantCode(t, err, codes.Unavailable)
	})
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestStopWithoutTrainIsNoError(t *testing.T) {
	p := startCounter(t)
	if _, err := p.Stop(t.Context(), new(experimentv1.StopRequest)); err != nil {
		t.Error(err)
	}
}

func TestPrintsBreakNothing(t *testing.T) {
	response := train(t, new(testHost), counterConfig{Steps: 20, Fault: "prints"})
	if response.GetOutcome() != experimentv1.Outcome_OUTCOME_FINISHED {
		t.Errorf("got %v", response)
	}
}

func TestMetricsThatAreNotFinitePass(t *testing.T) {
	host := new(testHost)
	train(t, host, counterConfig{Steps: 10, Fault: "logs what is not finite"})
	if len(host.points) != 2 || !math.IsNaN(host.points[0].GetValue()) || !math.IsInf(host.points[1].GetValue(), -1) {
		t.Errorf("got %v", host.points)
	}
}

func TestDescribeIsTheSameBeforeAndAfterTrain(t *testing.T) {
	p := startCounter(t)
	before, err := p.Describe(context.Background(), new(experimentv1.DescribeRequest))
	if err != nil {
		t.Fatal(err)
	}
	call(t, p, p.request(new(testHost), counterConfig{}))
	after, err := p.Describe(context.Background(), new(experimentv1.DescribeRequest))
	if err != nil || before.String() != after.String() || before.GetName() != "counter" {
		t.Errorf("before %v, after %v, %v", before, after, err)
	}
}

func TestDescriptionBeyondALimitIsRefusedBeforeItIsServed(t *testing.T) {
	experiment := Experiment[counterConfig]{Name: "counter", Train: trainCounter, Metrics: map[string]Direction{}}
	for i := range wire.MaxResults + 1 {
		experiment.Metrics[strings.Repeat("x", i+1)] = Max
	}
	if _, err := newServer(experiment); err == nil || !strings.Contains(err.Error(), "1001 metrics: at most 1000") {
		t.Errorf("too many metrics: %v", err)
	}
	experiment.Metrics, experiment.Summary = nil, strings.Repeat("x", 2000)
	if _, err := newServer(experiment); err == nil || !strings.Contains(err.Error(), "2000 bytes: at most 1024") {
		t.Errorf("a long summary: %v", err)
	}
	experiment.Summary, experiment.Defaults.Fault = "", strings.Repeat("x", 2<<20)
	if _, err := newServer(experiment); err == nil || !strings.Contains(err.Error(), "at most 1048576") {
		t.Errorf("large defaults: %v", err)
	}
}
