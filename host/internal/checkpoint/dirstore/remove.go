package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// Remove implements checkpoint.Store.
func (s *Store) Remove(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir, err := s.path(id)
	if err != nil {
		return err
	}
	if err := s.remove(dir); err != nil {
		return fmt.Errorf("remove checkpoint %s: %w", id, err)
	}
	return nil
}

// remove takes the manifest first and makes that durable, so that a crash never leaves a manifest without its blobs.
func (s *Store) remove(dir string) error {
	if err := s.fs.Remove(filepath.Join(dir, checkpoint.ManifestName)); err == nil {
		if err := s.fs.SyncDir(dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.fs.RemoveAll(dir)
}

// Collect implements checkpoint.Store.
func (s *Store) Collect(ctx context.Context) (removed []string, err error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		dir := filepath.Join(s.dir, id.String())
		rubbish, err := s.isRubbish(dir)
		if err == nil && rubbish {
			err = s.fs.RemoveAll(dir)
		}
		if err != nil {
			return removed, fmt.Errorf("collect the unfinished checkpoint %s: %w", id, err)
		}
		if rubbish {
			removed = append(removed, id.String())
		}
	}
	return removed, nil
}

func (s *Store) isRubbish(dir string) (bool, error) {
	entries, err := s.fs.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Name() == checkpoint.ManifestName {
			return false, nil
		}
	}
	return true, nil
}
