package gomlx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"

	"github.com/mtt-project/mtt/sdk"
)

// attempt is a Run that writes down what happens, and stands in for the host.
type attempt struct {
	every  int64 // saves at its multiples; 0: never
	stopAt int64 // asked to stop in this step; 0: never
	save   func() error

	step   int64
	events []string
}

func (a *attempt) Progress(step, _ int64) { a.step = step }

func (a *attempt) ShouldSave(step int64) bool {
	return a.every > 0 && step%a.every == 0 || a.Stopped()
}

func (a *attempt) Save(step int64) error {
	a.events = append(a.events, fmt.Sprintf("save %d", step))
	if a.save == nil {
		return nil
	}
	return a.save()
}

func (a *attempt) Stopped() bool { return a.stopAt > 0 && a.step >= a.stopAt }

func (a *attempt) log(step int64, loss float64) error {
	a.events = append(a.events, fmt.Sprintf("log %d %v", step, loss))
	return nil
}

func (n *network) loop(run *attempt, steps int64) Loop {
	return Loop{Run: run, State: n.state, Trainer: n.build(), Steps: steps, Batch: batch, After: run.log}
}

// TestStoppedLoopGoesOnWithTheSameCurve stops a loop at each step boundary. What it logged up to the checkpoint and
// what the next attempt logs must be together what a loop logs that was left alone.
func TestStoppedLoopGoesOnWithTheSameCurve(t *testing.T) {
	const steps = 6
	alone := new(attempt)
	if err := newNetwork(t, design{}).loop(alone, steps).Train(0); err != nil {
		t.Fatal(err)
	}
	if len(alone.events) != steps {
		t.Fatalf("the loop that was left alone logged %q", alone.events)
	}
	for stop := int64(1); stop < steps; stop++ {
		checkpoint := memory{}
		network := newNetwork(t, design{})
		first := &attempt{stopAt: stop, save: func() error { return network.state.Save(checkpoint) }}
		if err := network.loop(first, steps).Train(0); !errors.Is(err, sdk.ErrStopped) {
			t.Fatalf("stopped in step %d: got %v", stop, err)
		}
		saved := len(first.events) - 1
		if last := first.events[saved]; last != fmt.Sprintf("save %d", stop) {
			t.Fatalf("stopped in step %d, the last event was %q", stop, last)
		}
		second := new(attempt)
		if err := resume(t, design{}, checkpoint).loop(second, steps).Train(stop); err != nil {
			t.Fatal(err)
		}
		if got := append(first.events[:saved], second.events...); !slices.Equal(got, alone.events) {
			t.Errorf("stopped in step %d, the curve is\n%q, and left alone it is\n%q", stop, got, alone.events)
		}
	}
}

func TestStepIsLoggedBeforeItsCheckpoint(t *testing.T) {
	run := &attempt{every: 2}
	if err := newNetwork(t, design{}).loop(run, 5).Train(0); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, event := range run.events {
		fields := strings.Fields(event)
		got = append(got, fields[0]+fields[1])
	}
	if want := []string{"log1", "log2", "save2", "log3", "log4", "save4", "log5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFailureInTheLoopEndsIt(t *testing.T) {
	broken := errors.New("broken")
	for name, breakLoop := range map[string]func(*Loop){
		"batch": func(l *Loop) { l.Batch = func(int64) (train.Batch, error) { return train.Batch{}, broken } },
		"after": func(l *Loop) { l.After = func(int64, float64) error { return broken } },
		"save":  func(l *Loop) { l.Run = &attempt{every: 1, save: func() error { return broken }} },
	} {
		loop := newNetwork(t, design{}).loop(new(attempt), 2)
		breakLoop(&loop)
		if err := loop.Train(0); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOptimizerThatIsNotWatchedIsRefused(t *testing.T) {
	n := newNetwork(t, design{})
	n.trainer = train.NewTrainer(n.backend, n.store, n.logits, loss.SparseCategoricalCrossEntropyLogits, n.optimizer, nil, nil)
	if err := n.loop(new(attempt), 1).Train(0); err == nil || !strings.Contains(err.Error(), "State.Watch") {
		t.Errorf("got %v, want an error that names State.Watch", err)
	}
	if err := n.state.Save(memory{}); err == nil || !strings.Contains(err.Error(), "State.Watch") {
		t.Errorf("in a loop of one's own: got %v, want an error that names State.Watch", err)
	}
}
