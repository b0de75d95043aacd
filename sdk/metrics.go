package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

const (
	// maxChunks is how many chunks of points wait in memory.
	maxChunks = 16
	// maxQueued is how many points that is: a few MB, and more than any host is behind when nothing is wrong. What
	// comes on top is spilled to disk.
	maxQueued = maxChunks * wire.MaxBatchPoints
)

// Metrics takes scalars from training and sends them to the host from a goroutine of its own. Any goroutine may use it.
type Metrics struct {
	client experimentv1.MetricServiceClient
	ctx    context.Context
	wake   chan struct{}   // tells the sender not to wait for its next tick
	good   context.Context // ctx, cancelled also by what the run fails of: a wrong call of the experiment, or of sending
	spoil  context.CancelCauseFunc
	ended  chan struct{} // closed when the sender has left
	closed chan struct{}

	mu       sync.Mutex
	changed  sync.Cond           // of what is below
	queue    [][]point           // chunks of wire.MaxBatchPoints, oldest first; only the last may have fewer
	spare    []point             // an empty chunk to use again
	spill    spill               // older than queue
	tags     map[string]struct{} // all that were logged
	numbered uint64
	acked    uint64
	now      progress // where training is
	told     progress // where the host thinks it is
	waited   bool     // training had to wait for the host, and this was said
	err      error    // of sending; nothing is taken or sent after it
	mistake  error    // the experiment's first wrong call; what it logs otherwise is sent all the same
}

// point is one scalar. The message for it is made by the sender, so that logging costs training no garbage.
type point struct {
	tag             string
	step            int64
	value, wallTime float64
}

type progress struct{ step, total int64 }

var errOver = errors.New("the attempt is over")

// Scalar logs the value of tag after step training steps. It returns at once, whatever the host is doing; it waits
// only when many millions of points have gathered and the disk has no room for more, which is said on stderr. A tag
// has 1 to 512 bytes without control characters and does not begin with "mtt/", and a run has at most 10,000; a wrong
// one fails the run at the next step boundary, by Stopped, ShouldSave and Save. A value is kept as a float32, and may be
// NaN or infinite. step is not negative, and below 2^63-1.
func (m *Metrics) Scalar(step int64, tag string, value float64) {
	p := point{tag: tag, step: step, value: value, wallTime: float64(time.Now().UnixMicro()) / 1e6}
	err := checkPoint(step, tag)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		err = m.know(tag)
	}
	if err != nil {
		m.mistaken(fmt.Errorf("metric %.40q at step %d: %w", tag, step, err))
		return
	}
	if m.err != nil {
		return
	}
	last := len(m.queue) - 1
	if last < 0 || len(m.queue[last]) == wire.MaxBatchPoints {
		if !m.makeRoom() {
			return
		}
		m.queue, m.spare = append(m.queue, m.spare), nil
		last = len(m.queue) - 1
	}
	m.queue[last] = append(m.queue[last], p)
	m.numbered++
	if len(m.queue[last]) == wire.MaxBatchPoints {
		m.wakeSender()
	}
}

// badPointError is of a point, or a step, that the wire does not admit: the host would say that the plugin breaks the
// protocol.
type badPointError struct{ error }

func (e *badPointError) Unwrap() error { return e.error }

func checkPoint(step int64, tag string) error {
	if err := wire.CheckTag(tag); err != nil {
		return &badPointError{err}
	}
	if step < 0 || step == math.MaxInt64 {
		return &badPointError{errors.New("steps are from 0 to 2^63-2")}
	}
	return nil
}

// know refuses a tag that is one too many.
func (m *Metrics) know(tag string) error {
	if _, known := m.tags[tag]; known {
		return nil
	}
	if len(m.tags) == wire.MaxTags {
		return fmt.Errorf("the metric %s is one too many: a run has at most %d tags", tag, wire.MaxTags)
	}
	m.tags[tag] = struct{}{}
	return nil
}

// makeRoom spills the oldest chunk if there is no room for another, and waits for the host only where the disk has no
// room either. It says whether there is room now: there never will be where sending has failed.
func (m *Metrics) makeRoom() bool {
	for m.err == nil && len(m.queue) >= maxChunks {
		err := m.spill.append(m.queue[0])
		if err == nil {
			m.recycle(m.takeChunk())
			return true
		}
		if !m.waited {
			m.waited = true
			fmt.Fprintf(os.Stderr, "training waits for the host to take its metrics: %v\n", err)
		}
		m.changed.Wait()
	}
	return m.err == nil
}

// takeChunk takes the oldest chunk out of the queue.
func (m *Metrics) takeChunk() []point {
	chunk := m.queue[0]
	copy(m.queue, m.queue[1:])
	m.queue = m.queue[:len(m.queue)-1]
	return chunk
}

func (m *Metrics) recycle(chunk []point) {
	clear(chunk) // it must not hold on to tags
	m.spare = chunk[:0]
}

func (m *Metrics) progress(step, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if step < 0 || total < 0 || step == math.MaxInt64 {
		m.mistaken(&badPointError{fmt.Errorf("progress was reported as step %d of %d", step, total)})
		return
	}
	m.now = progress{step, total}
}

// reached is the last step of which progress was reported.
func (m *Metrics) reached() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.step
}

// flush waits until the host has every point and the progress, and returns the number of the last point. An error is
// that of sending, or a mistake of the experiment.
func (m *Metrics) flush() (through uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	through = m.numbered
	for m.err == nil && (m.acked < through || m.told != m.now) {
		m.wakeSender()
		m.changed.Wait()
	}
	return through, cmp.Or(m.err, m.mistake)
}

func (m *Metrics) mistaken(err error) {
	m.mistake = cmp.Or(m.mistake, err)
	m.spoil(err)
}

func (m *Metrics) fail(err error) {
	if m.err == nil {
		m.err = err
		m.spoil(err)
		m.changed.Broadcast()
	}
}

func (m *Metrics) wakeSender() {
	select {
	case m.wake <- struct{}{}:
	default: // it is awake
	}
}

// close ends the sender. What was not flushed before is dropped, and so is what a goroutine of the experiment logs later.
func (m *Metrics) close() {
	close(m.closed)
	<-m.ended
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail(errOver)
	m.spill.close()
}
