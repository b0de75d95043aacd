package sdk

import (
	"context"
	"fmt"
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// sendEvery is how long a point or a progress waits for others to travel with: short for a person who watches, and
// long enough that a call to the host costs training nothing.
const sendEvery = 200 * time.Millisecond

func newMetrics(ctx context.Context, client experimentv1.MetricServiceClient) *Metrics {
	m := &Metrics{
		ctx: ctx, client: client,
		wake: make(chan struct{}, 1), ended: make(chan struct{}), closed: make(chan struct{}),
	}
	m.changed.L = &m.mu
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
			batch, err := m.next()
			if batch == nil && err == nil {
				break
			}
			if err == nil {
				err = m.sendBatch(batch)
			}
			if err != nil {
				m.mu.Lock()
				m.fail(err)
				m.mu.Unlock()
				return
			}
		}
	}
}

// next takes the oldest points, with the progress if it has moved; nil if there is nothing to send.
func (m *Metrics) next() (*experimentv1.LogMetricsRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch := &experimentv1.LogMetricsRequest{First: m.acked + 1}
	switch {
	case m.spill.len() > 0:
		spilled, err := m.spill.next()
		if err != nil {
			return nil, err
		}
		batch.Scalars = spilled
		m.changed.Broadcast() // there is room
	case len(m.queue) > 0:
		n := min(len(m.queue), wire.MaxBatchPoints)
		batch.Scalars = append(batch.Scalars, m.queue[:n]...)
		m.queue = append(m.queue[:0], m.queue[n:]...)
	case !m.moved:
		return nil, nil
	}
	if m.moved {
		batch.Progress = &experimentv1.Progress{Step: m.now.GetStep(), TotalSteps: m.now.GetTotalSteps()}
		m.moved = false
	}
	return batch, nil
}

// sendBatch sends one batch. It is not repeated: over a socket on this machine an error means that the host is gone or
// has refused it.
func (m *Metrics) sendBatch(batch *experimentv1.LogMetricsRequest) error {
	response, err := m.client.LogMetrics(m.ctx, batch)
	if err != nil {
		return fmt.Errorf("the host did not take the metrics: %w", plain(err))
	}
	sent := batch.GetFirst() + uint64(len(batch.GetScalars())) - 1
	if response.GetThrough() != sent {
		return fmt.Errorf("the host has metrics up to point %d, after point %d was sent", response.GetThrough(), sent)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked = sent
	m.changed.Broadcast()
	return nil
}
