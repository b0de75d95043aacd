package gomlx

import (
	"fmt"
	"runtime/debug"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"
)

// ahead makes the batches of a loop one step ahead, on the device already, while the device trains with the one before.
type ahead struct {
	made chan made
	left chan struct{} // closed when the loop has left
	done chan struct{} // closed when the last batch was made or given back
}

// made is a batch, or why there is none.
type made struct {
	batch train.Batch
	err   error
	panic string // with the stack
}

// makeAhead makes the batches of the steps from first to last.
func makeAhead(backend compute.Backend, batch func(step int64) (train.Batch, error), first, last int64) *ahead {
	a := &ahead{made: make(chan made), left: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for step := first; step <= last; step++ {
			next := makeBatch(backend, batch, step)
			select {
			case a.made <- next:
			case <-a.left:
				_ = next.batch.Finalize() // nobody will use it
				return
			}
			if next.err != nil || next.panic != "" {
				return
			}
		}
	}()
	return a
}

func makeBatch(backend compute.Backend, batch func(step int64) (train.Batch, error), step int64) (next made) {
	defer func() {
		if recovered := recover(); recovered != nil {
			next = made{panic: fmt.Sprintf("%v\n\nin the goroutine that makes batches:\n%s", recovered, debug.Stack())}
		}
	}()
	if next.batch, next.err = batch(step); next.err != nil {
		return next
	}
	for _, all := range [][]*tensors.Tensor{next.batch.Inputs, next.batch.Labels} {
		for _, tensor := range all {
			if err := tensor.MaterializeOnDevice(backend, false, 0); err != nil {
				next.err = fmt.Errorf("cannot bring a batch to the device: %w", explain(err))
				return next
			}
		}
	}
	return next
}

// next returns the next batch. What has panicked in making it panics here, in the goroutine of Train.
func (a *ahead) next() (train.Batch, error) {
	next := <-a.made
	if next.panic != "" {
		panic(next.panic)
	}
	return next.batch, next.err
}

// leave ends the making, and returns when no tensor is touched any more.
func (a *ahead) leave() {
	close(a.left)
	<-a.done
}
