package gomlx

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomlx/gomlx/ml/train"
)

func TestBatchesComeInOrderAndTrainAsOthersDo(t *testing.T) {
	const steps = 6
	alone, with := new(attempt), new(attempt)
	if err := newNetwork(t, design{}).loop(alone, steps).Train(0); err != nil {
		t.Fatal(err)
	}
	loop := newNetwork(t, design{}).loop(with, steps)
	made := makeAhead(loop.State.backend, batch, 1, steps)
	defer made.leave()
	loop.Batch = func(int64) (train.Batch, error) { return made.next() }
	if err := loop.Train(0); err != nil {
		t.Fatal(err)
	}
	if strings.Join(with.events, " ") != strings.Join(alone.events, " ") {
		t.Errorf("with batches made ahead the curve is\n%q, and without\n%q", with.events, alone.events)
	}
}

func TestPanicInABatchIsOneOfTrain(t *testing.T) {
	made := makeAhead(newNetwork(t, design{}).backend, func(int64) (train.Batch, error) { panic("no such image") }, 1, 3)
	defer made.leave()
	defer func() {
		said, _ := recover().(string)
		if !strings.Contains(said, "no such image") || !strings.Contains(said, "ahead_test.go") {
			t.Errorf("it panicked with %q, want the panic of Batch with its stack", said)
		}
	}()
	_, err := made.next()
	t.Errorf("next has returned, with error %v", err)
}

func TestErrorOfABatchEndsTheMaking(t *testing.T) {
	broken := errors.New("broken")
	var calls atomic.Int64
	made := makeAhead(newNetwork(t, design{}).backend, func(int64) (train.Batch, error) {
		calls.Add(1)
		return train.Batch{}, broken
	}, 1, 3)
	if _, err := made.next(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	made.leave()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d batches were asked for behind the error", n-1)
	}
}

// Nothing goes on behind the end of a loop that was stopped.
func TestMakingEndsWithTheLoop(t *testing.T) {
	var calls atomic.Int64
	made := makeAhead(newNetwork(t, design{}).backend, func(step int64) (train.Batch, error) {
		calls.Add(1)
		return batch(step)
	}, 1, 100)
	for range 2 {
		if _, err := made.next(); err != nil {
			t.Fatal(err)
		}
	}
	made.leave()
	before := calls.Load()
	time.Sleep(20 * time.Millisecond)
	if before > 4 || calls.Load() != before {
		t.Errorf("%d batches were made for 2 steps, and %d behind the end", before, calls.Load()-before)
	}
}
