package dirstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// Create implements checkpoint.Store.
func (s *Store) Create(ctx context.Context, h checkpoint.Header) (checkpoint.Writer, error) {
	w, err := s.create(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("begin checkpoint at step %d: %w", h.Step, err)
	}
	return w, nil
}

func (s *Store) create(ctx context.Context, h checkpoint.Header) (*writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := h.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.checkSpace(h.SizeHint); err != nil {
		return nil, err
	}
	id, err := s.nextID(h)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, id.String())
	if err := s.fs.Mkdir(dir); err != nil {
		return nil, err
	}
	return &writer{store: s, id: id, dir: dir, header: h, names: make(map[string]bool)}, nil
}

// checkSpace fails early, and with the figures, what would fail in the middle of a blob.
func (s *Store) checkSpace(need uint64) error {
	free, err := s.fs.Free(s.dir)
	if err != nil {
		return fmt.Errorf("find the free space: %w", err)
	}
	if free < need {
		return fmt.Errorf("it needs %d bytes, and %s has %d free: %w", need, s.dir, free, syscall.ENOSPC)
	}
	return nil
}

// nextID returns an id that is later than every other in the directory.
func (s *Store) nextID(h checkpoint.Header) (checkpoint.ID, error) {
	ids, err := s.ids()
	if err != nil {
		return checkpoint.ID{}, err
	}
	var last ulid.ULID
	if len(ids) > 0 {
		last = ids[0].ULID
	}
	next, err := after(last, s.now())
	if err != nil {
		return checkpoint.ID{}, err
	}
	return checkpoint.ID{Prefix: h.Prefix, Step: h.Step, ULID: next}, nil
}

// after returns a ULID of the given time or, if that is not later than last, the one that follows last.
func after(last ulid.ULID, now time.Time) (ulid.ULID, error) {
	next, err := ulid.New(uint64(max(0, now.UnixMilli())), rand.Reader)
	if err != nil {
		return ulid.ULID{}, fmt.Errorf("make an id: %w", err)
	}
	if next.Compare(last) > 0 {
		return next, nil
	}
	next = last
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next, nil
		}
	}
	return ulid.ULID{}, errors.New("make an id: there is none after the last one")
}
