// Package dirstore keeps the checkpoints of one run in a directory of their own, one directory each. It implements
// checkpoint.Store.
package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// tempName is the manifest before it is complete.
const tempName = checkpoint.ManifestName + ".tmp"

// Options are what a Store may be told; the zero value is right for a directory on a local disk.
type Options struct {
	// Sync is called when a checkpoint's files are on the local disk and before it is acknowledged, for volumes that
	// are elsewhere. An error means that the checkpoint is not acknowledged. nil: nothing more to do.
	Sync func(context.Context) error
	// FS is the file system; nil: OS.
	FS FS
	// Now tells the time; nil: time.Now.
	Now func() time.Time
}

// Store keeps checkpoints in a directory.
type Store struct {
	dir  string
	fs   FS
	sync func(context.Context) error
	now  func() time.Time

	mu       sync.Mutex // One Create at a time, since each id follows the ones in the directory.
	prepared bool       // dir exists and is durable.
}

var _ checkpoint.Store = (*Store)(nil)

// New returns the store in dir, which is <volume>/checkpoints/<run id>. The first Create makes dir and its parent where
// they are missing; the volume must be there.
func New(dir string, o Options) *Store {
	s := &Store{dir: filepath.Clean(dir), fs: o.FS, sync: o.Sync, now: o.Now}
	if s.fs == nil {
		s.fs = OS{}
	}
	if s.sync == nil {
		s.sync = func(context.Context) error { return nil }
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// prepare makes the store's directory, and its name durable.
func (s *Store) prepare() error {
	if s.prepared {
		return nil
	}
	for _, dir := range []string{filepath.Dir(s.dir), s.dir} {
		if err := s.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.fs.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	s.prepared = true
	return nil
}

// path is the directory of a checkpoint, whether it exists or not.
func (s *Store) path(id string) (string, error) {
	if _, err := checkpoint.ParseID(id); err != nil {
		return "", &checkpoint.NotFoundError{ID: id}
	}
	return filepath.Join(s.dir, id), nil
}

// ids returns the names of the checkpoint directories, with and without a manifest, newest first. Anything else in the
// store's directory is not its own and left alone.
func (s *Store) ids() ([]checkpoint.ID, error) {
	entries, err := s.fs.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var ids []checkpoint.ID
	for _, e := range entries {
		if id, err := checkpoint.ParseID(e.Name()); err == nil && e.IsDir() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b checkpoint.ID) int { return checkpoint.CompareIDs(b.String(), a.String()) })
	return ids, nil
}

// manifest reads and checks the manifest of a checkpoint.
func (s *Store) manifest(id string) (*checkpoint.Manifest, error) {
	dir, err := s.path(id)
	if err != nil {
		return nil, err
	}
	f, err := s.fs.Open(filepath.Join(dir, checkpoint.ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &checkpoint.NotFoundError{ID: id}
	}
	if err != nil {
		return nil, readError(id, checkpoint.ManifestName, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, checkpoint.MaxManifestSize+1))
	if err != nil {
		return nil, readError(id, checkpoint.ManifestName, err)
	}
	m, err := checkpoint.DecodeManifest(raw)
	if _, newer := errors.AsType[*checkpoint.VersionError](err); newer {
		return nil, fmt.Errorf("checkpoint %s: %w", id, err)
	}
	if err == nil && m.ID != id {
		err = fmt.Errorf("it is the manifest of checkpoint %s", m.ID)
	}
	if err != nil {
		return nil, &checkpoint.CorruptError{ID: id, File: checkpoint.ManifestName, Cause: err}
	}
	return m, nil
}
