package sdk

import (
	"context"
	"fmt"
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// sendEvery is how long a point or a progress waits for others to travel with: short for a person who watches, and
// long enough that a call to the host costs training nothing.
const sendEvery = 200 * time.Millisecond

func newMetrics(ctx context.Context, client experimentv1.MetricServiceClient) *Metrics {
	m := &Metrics{
		ctx: ctx, client: client, spill: spill{limit: maxSpill}, tags: map[string]struct{}{},
		wake: make(chan struct{}, 1), ended: make(chan struct{}), closed: make(chan struct{}),
	}
	m.changed.L = &m.mu
	m.good, m.spoil = context.WithCancelCause(ctx)
	go m.sendAll()
	return m
}

// sendAll sends batches until close, or until one fails.
func (m *Metrics) sendAll() {
	defer close(m.ended)
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.wake:
		case <-m.closed:
			return
		}
		for {
			sent, err := m.sendNext()
			if err != nil {
				m.mu.Lock()
				m.fail(err)
				m.mu.Unlock()
				return
			}
			if !sent {
				break
			}
		}
	}
}

// batch is what travels together.
type batch struct {
	first    uint64                      // number of the first point
	points   []point                     // from the queue
	spilled  []*experimentv1.ScalarPoint // or from the disk
	progress progress
}

// sendNext sends the oldest points, with the progress if it has moved. It says whether there was anything to send. A
// batch is not repeated: over a socket on this machine an error means that the host is gone or has refused it.
func (m *Metrics) sendNext() (bool, error) {
	b, err := m.next()
	if b == nil || err != nil {
		return false, err
	}
	request := b.toProto()
	response, err := m.client.LogMetrics(m.ctx, request)
	if err != nil {
		return false, fmt.Errorf("the host did not take the metrics: %w", plain(err))
	}
	through := b.first + uint64(len(request.GetScalars())) - 1
	if response.GetThrough() != through {
		return false, fmt.Errorf("the host has metrics up to point %d, after point %d was sent", response.GetThrough(), through)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked, m.told = through, b.progress
	if b.points != nil {
		m.recycle(b.points)
	}
	m.changed.Broadcast()
	return true, nil
}

// next takes the oldest points; nil if there is nothing to send.
func (m *Metrics) next() (*batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := &batch{first: m.acked + 1, progress: m.now}
	switch {
	case m.spill.len() > 0:
		spilled, err := m.spill.next()
		if err != nil {
			return nil, err
		}
		b.spilled = spilled
	case len(m.queue) > 0:
		b.points = m.takeChunk()
	case m.told == m.now:
		return nil, nil
	}
	m.changed.Broadcast() // there is room
	return b, nil
}

func (b *batch) toProto() *experimentv1.LogMetricsRequest {
	request := &experimentv1.LogMetricsRequest{First: b.first, Scalars: b.spilled}
	if b.spilled == nil {
		request.Scalars = toProto(b.points)
	}
	if b.progress != (progress{}) {
		request.Progress = &experimentv1.Progress{Step: uint64(b.progress.step), TotalSteps: uint64(b.progress.total)}
	}
	return request
}

func toProto(points []point) []*experimentv1.ScalarPoint {
	block := make([]experimentv1.ScalarPoint, len(points)) // one allocation
	messages := make([]*experimentv1.ScalarPoint, len(points))
	for i, p := range points {
		message := &block[i]
		message.Tag, message.Step, message.Value, message.WallTime = p.tag, uint64(p.step), p.value, p.wallTime
		messages[i] = message
	}
	return messages
}
