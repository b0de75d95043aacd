package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// List implements checkpoint.Store.
func (s *Store) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return names, nil
}

// Manifest implements checkpoint.Store.
func (s *Store) Manifest(ctx context.Context, id string) (*checkpoint.Manifest, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.manifest(id)
}

// Verify implements checkpoint.Store.
func (s *Store) Verify(ctx context.Context, id string) (*checkpoint.Manifest, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := s.manifest(id)
	if err != nil {
		return nil, err
	}
	if err := s.verifyNames(m); err != nil {
		return nil, err
	}
	buf := make([]byte, bufferSize)
	for _, b := range m.Blobs {
		if err := s.verifyBlob(ctx, id, b, buf); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// verifyNames finds files that the manifest does not name. Those that are missing are found when they are read.
func (s *Store) verifyNames(m *checkpoint.Manifest) error {
	entries, err := s.fs.ReadDir(filepath.Join(s.dir, m.ID))
	if err != nil {
		return fmt.Errorf("verify checkpoint %s: %w", m.ID, err)
	}
	for _, e := range entries {
		if _, named := m.Blob(e.Name()); named || e.Name() == checkpoint.ManifestName {
			continue
		}
		return &checkpoint.CorruptError{ID: m.ID, File: e.Name(), Cause: errors.New("the manifest does not name this file")}
	}
	return nil
}

func (s *Store) verifyBlob(ctx context.Context, id string, b checkpoint.Blob, buf []byte) error {
	r, err := s.openBlob(ctx, id, b)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, err := r.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Open implements checkpoint.Store.
func (s *Store) Open(ctx context.Context, id, blob string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := s.manifest(id)
	if err != nil {
		return nil, err
	}
	b, ok := m.Blob(blob)
	if !ok {
		return nil, &checkpoint.NotFoundError{ID: id, Blob: blob}
	}
	return s.openBlob(ctx, id, b)
}

func (s *Store) openBlob(ctx context.Context, id string, b checkpoint.Blob) (io.ReadCloser, error) {
	f, err := s.fs.Open(filepath.Join(s.dir, id, b.Name))
	if err != nil {
		return nil, readError(id, b.Name, err)
	}
	return &blobReader{ctx: ctx, id: id, want: b, file: f}, nil
}

// readError tells a file that is gone or on a bad part of the disk, which is lost, from storage that fails now and
// may be there later.
func readError(id, file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO) {
		return &checkpoint.CorruptError{ID: id, File: file, Cause: err}
	}
	return fmt.Errorf("read checkpoint %s: %w", id, err)
}
