package sdk

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// maxQueued is how many points wait in memory: a few MB, and more than any host is behind when nothing is wrong. What
// comes on top is spilled to disk.
const maxQueued = 64 << 10

// Metrics takes scalars from training and sends them to the host from a goroutine of its own. Any goroutine may use it.
type Metrics struct {
	client experimentv1.MetricServiceClient
	ctx    context.Context
	wake   chan struct{} // tells the sender not to wait for its next tick
	ended  chan struct{} // closed when the sender has left
	closed chan struct{}

	mu       sync.Mutex
	changed  sync.Cond // of what is below
	queue    []*experimentv1.ScalarPoint
	spill    spill // older than queue
	numbered uint64
	acked    uint64
	now      experimentv1.Progress
	moved    bool  // now was not sent
	err      error // the first; nothing is sent after it
}

// Scalar logs the value of tag after step training steps. It returns at once, whatever the host is doing. A tag has 1
// to 512 bytes and does not begin with "mtt/"; a wrong one fails the run at the next Save, or at its end. A value is
// kept as a float32.
func (m *Metrics) Scalar(step int64, tag string, value float64) {
	point := &experimentv1.ScalarPoint{Tag: tag, Step: uint64(step), Value: value, WallTime: float64(time.Now().UnixMicro()) / 1e6}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	if err := wire.CheckTag(tag); err != nil {
		m.fail(err)
		return
	}
	if step < 0 {
		m.fail(fmt.Errorf("metric %s was logged at step %d", tag, step))
		return
	}
	if len(m.queue) >= maxQueued {
		m.makeRoom()
	}
	m.queue = append(m.queue, point)
	m.numbered++
	if len(m.queue) == wire.MaxBatchPoints {
		m.wakeSender()
	}
}

// makeRoom spills the queue to disk, and waits for the host only where the disk has no room either.
func (m *Metrics) makeRoom() {
	for said := false; m.err == nil; {
		err := m.spill.append(m.queue)
		if err == nil {
			m.queue = m.queue[:0]
			return
		}
		if !said {
			said = true
			fmt.Fprintf(os.Stderr, "training waits for the host to take its metrics: %v\n", err)
		}
		m.changed.Wait()
	}
}

func (m *Metrics) progress(step, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Step, m.now.TotalSteps, m.moved = uint64(step), uint64(total), true
}

// flush waits until the host has every point, and returns the number of the last.
func (m *Metrics) flush() (through uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	through = m.numbered
	for m.acked < through && m.err == nil {
		m.wakeSender()
		m.changed.Wait()
	}
	return through, m.err
}

func (m *Metrics) fail(err error) {
	if m.err == nil {
		m.err = err
		m.changed.Broadcast()
	}
}

func (m *Metrics) wakeSender() {
	select {
	case m.wake <- struct{}{}:
	default: // it is awake
	}
}

// close ends the sender. What was not flushed is sent if the host takes it.
func (m *Metrics) close() {
	close(m.closed)
	<-m.ended
	m.spill.close()
}
