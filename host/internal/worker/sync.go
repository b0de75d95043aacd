package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// syncEvery is how often a volume that is elsewhere gets what was written since the last checkpoint: so that a run can
// be watched, and the log of a killed attempt is not lost.
const syncEvery = 30 * time.Second

// syncer makes what an attempt has written to a volume durable beyond this machine. No file may be open meanwhile.
type syncer struct {
	volume func(context.Context) error // nil where the volume is here

	mu    sync.Mutex
	files []suspended
}

// suspended is a file that is closed while the volume is synced.
type suspended struct{ suspend, resume func() error }

func newSyncer(volume func(context.Context) error) *syncer { return &syncer{volume: volume} }

// ticks says when to sync besides; never, where the volume is here.
func (s *syncer) ticks() <-chan time.Time {
	if s.volume == nil {
		return nil
	}
	return time.Tick(syncEvery)
}

// suspends has a file closed at each sync from now on.
func (s *syncer) suspends(suspend, resume func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, suspended{suspend, resume})
}

// forget leaves the files alone from now on: they are closed.
func (s *syncer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = nil
}

// now syncs the volume. It tries again where that may help: what cannot be synced ends the attempt.
func (s *syncer) now(ctx context.Context) error {
	if s.volume == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, file := range s.files {
		err = errors.Join(err, file.suspend())
	}
	if err == nil {
		err = s.insist(ctx)
	}
	for _, file := range s.files {
		err = errors.Join(err, file.resume())
	}
	return err
}

// insistFor is how often a sync that fails is tried, with a pause of a second.
const insistFor = 3

func (s *syncer) insist(ctx context.Context) error {
	for try := 1; ; try++ {
		err := s.volume(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case try == insistFor:
			return exit.Errorf(exit.Interrupted, "the volume cannot be synced: %w", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// anotherMay has an error that may be this machine's own, such as a mount that fails, a disk that is full, a GPU without a
// driver or a full temporary directory, end the attempt and not the run: another machine may do better. That includes a
// volume that says it is full: a mount writes to this machine's disk first.
func anotherMay(err error) error {
	if code := exit.Of(err); code != exit.Usage && code != exit.Internal {
		return err
	}
	return exit.Errorf(exit.Interrupted, "%w", err)
}
