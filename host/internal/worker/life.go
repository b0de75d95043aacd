package worker

import (
	"sync/atomic"
	"time"
)

// life counts what the plugin does that shows that it is alive: points, progress, frames of checkpoints, printed lines.
type life struct {
	signs atomic.Uint64
	held  atomic.Int64
}

func (l *life) sign() { l.signs.Add(1) }

// hold says that the plugin waits for the host, which is no fault of it, until release.
func (l *life) hold() (release func()) {
	l.sign() // should nobody look before release
	l.held.Add(1)
	return func() { l.held.Add(-1) }
}

// silence measures how long there was no sign of life. It counts ticks instead of reading a clock, since a host that was
// suspended has not listened meanwhile.
type silence struct {
	life  *life
	heard uint64
	quiet time.Duration
}

// tick is called after each tick of a length, and returns how long it has been quiet.
func (s *silence) tick(length time.Duration) time.Duration {
	signs := s.life.signs.Load()
	if signs != s.heard || s.life.held.Load() > 0 {
		s.heard, s.quiet = signs, 0
		return 0
	}
	s.quiet += length
	return s.quiet
}
