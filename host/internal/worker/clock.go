package worker

import (
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/run"
)

// recordEvery is how often it is recorded how long an attempt has run: what a kill loses of that, at most.
const recordEvery = time.Second

// clock measures how long an attempt has run, by the monotonic clock, and records it each second: a limit must hold for a
// run whose attempts are killed, again and again.
type clock struct {
	run     *run.Run
	attempt int
	began   time.Time
	writing sync.Mutex
	ended   chan struct{}
	done    chan struct{}
}

// startClock starts the clock of an attempt.
func startClock(r *run.Run, attempt int) (*clock, error) {
	c := &clock{run: r, attempt: attempt, began: time.Now(), ended: make(chan struct{}), done: make(chan struct{})}
	if err := c.record(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.done)
		tick := time.NewTicker(recordEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = c.record() // or the next second does
			case <-c.ended:
				return
			}
		}
	}()
	return c, nil
}

func (c *clock) elapsed() time.Duration { return time.Since(c.began) }

func (c *clock) record() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.run.WriteElapsed(c.attempt, c.elapsed())
}

// suspend records, and then writes nothing until resume.
func (c *clock) suspend() error {
	_ = c.record()
	c.writing.Lock()
	return nil
}

func (c *clock) resume() error {
	c.writing.Unlock()
	return nil
}

// stop stops the clock, and returns how long the attempt has run.
func (c *clock) stop() time.Duration {
	close(c.ended)
	<-c.done
	return c.elapsed()
}
