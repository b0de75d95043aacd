package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

type writer struct {
	store  *Store
	id     checkpoint.ID
	dir    string
	header checkpoint.Header
	blobs  []checkpoint.Blob
	names  map[string]bool
	open   *blobWriter // nil between blobs
	// visible: the manifest has its name, so Abort must leave the checkpoint alone.
	visible bool
	err     error // the first one; final
}

var errDone = errors.New("the checkpoint was committed or aborted before")

func (w *writer) ID() string { return w.id.String() }

// fail keeps the first error of a save, which every later call returns.
func (w *writer) fail(err error) error {
	if w.err == nil {
		w.err = fmt.Errorf("save checkpoint %s: %w", w.id, err)
	}
	return w.err
}

func (w *writer) Blob(name string) (io.WriteCloser, error) {
	if w.err != nil {
		return nil, w.err
	}
	if w.open != nil {
		return nil, w.fail(fmt.Errorf("blob %q begins before blob %q has ended", name, w.open.name))
	}
	if err := checkpoint.CheckBlobName(name); err != nil {
		return nil, w.fail(err)
	}
	if w.names[name] {
		return nil, w.fail(fmt.Errorf("blob %q comes twice", name))
	}
	f, err := w.store.fs.Create(filepath.Join(w.dir, name))
	if err != nil {
		return nil, w.fail(fmt.Errorf("blob %q: %w", name, err))
	}
	w.names[name] = true
	w.open = newBlobWriter(w, name, f)
	return w.open, nil
}

func (w *writer) Commit(ctx context.Context, history checkpoint.History) (*checkpoint.Manifest, error) {
	if w.err != nil {
		return nil, w.err
	}
	if w.open != nil {
		return nil, w.fail(fmt.Errorf("commit before blob %q has ended", w.open.name))
	}
	m := checkpoint.NewManifest(w.id, w.header, history, w.blobs, w.store.now())
	raw, err := m.Encode()
	if err != nil {
		return nil, w.fail(err)
	}
	if err := w.publish(ctx, raw); err != nil {
		return nil, w.fail(err)
	}
	w.err = errDone
	return m, nil
}

// publish is the order on which the durability of a checkpoint rests. Each blob was fsynced when it was closed.
func (w *writer) publish(ctx context.Context, manifest []byte) error {
	s, temp, final := w.store, filepath.Join(w.dir, tempName), filepath.Join(w.dir, checkpoint.ManifestName)

	if err := ctx.Err(); err != nil { // The last moment at which giving up leaves nothing.
		return err
	}
	if err := s.writeFile(temp, manifest); err != nil { // Fsynced: a manifest is never seen in part.
		return err
	}
	if err := s.fs.SyncDir(w.dir); err != nil { // The names of the blobs before the one that vouches for them.
		return err
	}
	if err := s.fs.Rename(temp, final); err != nil {
		return err
	}
	w.visible = true
	if err := s.fs.SyncDir(w.dir); err != nil { // The manifest's name.
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil { // The checkpoint's name.
		return err
	}
	if err := s.sync(ctx); err != nil { // What the volume needs beyond this disk.
		return fmt.Errorf("synchronise the volume: %w", err)
	}
	return nil
}

// writeFile makes a small file and its content durable; its name is not yet.
func (s *Store) writeFile(name string, content []byte) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (w *writer) Abort() error {
	if w.open != nil {
		w.open.file.Close()
		w.open = nil
	}
	if w.visible {
		return nil
	}
	if w.err == nil {
		w.err = errDone
	}
	if err := w.store.remove(w.dir); err != nil {
		return fmt.Errorf("remove the unfinished checkpoint %s: %w", w.id, err)
	}
	return nil
}
