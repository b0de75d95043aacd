package modal

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Checkpoints is the store of a run's checkpoints, to read. What it lists was read back through Modal's interface: it is
// on the volume, whatever a mount shows.
func (b *Backend) Checkpoints(ctx context.Context, r *run.Run) checkpoint.Store {
	return dirstore.New("checkpoints/"+r.ID, dirstore.Options{FS: files{ctx, b.volume}})
}

// files is a volume as dirstore reads it.
type files struct {
	ctx    context.Context
	volume *Volume
}

// Open fetches the file while it is read.
func (f files) Open(name string) (io.ReadCloser, error) {
	entry, err := f.volume.Stat(f.ctx, filepath.ToSlash(name))
	if err != nil {
		return nil, err
	}
	entry.Whole = path.Ext(name) == ".json" // a manifest; blobs may be large
	ctx, cancel := context.WithCancel(f.ctx)
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(f.volume.Read(ctx, entry, 0, entry.Size, writer)) }()
	return fetched{reader, cancel}, nil
}

type fetched struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (f fetched) Close() error {
	f.cancel()
	return f.PipeReader.Close()
}

func (f files) ReadDir(name string) ([]fs.DirEntry, error) {
	listed, err := f.volume.List(f.ctx, filepath.ToSlash(name), false)
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, len(listed))
	for i, entry := range listed {
		entries[i] = dirEntry{entry}
	}
	return entries, nil
}

// dirEntry is an entry of a volume as an fs.DirEntry and its fs.FileInfo.
type dirEntry struct{ of backend.Entry }

func (d dirEntry) Name() string               { return path.Base(d.of.Path) }
func (d dirEntry) IsDir() bool                { return d.of.Type == backend.Directory }
func (d dirEntry) Info() (fs.FileInfo, error) { return d, nil }
func (d dirEntry) Size() int64                { return d.of.Size }
func (d dirEntry) Mode() fs.FileMode          { return d.Type() }
func (d dirEntry) ModTime() time.Time         { return d.of.Modified }
func (d dirEntry) Sys() any                   { return nil }

func (d dirEntry) Type() fs.FileMode {
	switch d.of.Type {
	case backend.Directory:
		return fs.ModeDir
	case backend.File:
		return 0
	default:
		return fs.ModeIrregular
	}
}

// A volume is written to by the worker, on its mount.
var errReadOnly = errors.New("checkpoints on Modal are written by the run itself")

func (files) Mkdir(string) error                   { return errReadOnly }
func (files) Create(string) (dirstore.File, error) { return nil, errReadOnly }
func (files) Rename(string, string) error          { return errReadOnly }
func (files) Remove(string) error                  { return errReadOnly }
func (files) RemoveAll(string) error               { return errReadOnly }
func (files) SyncDir(string) error                 { return errReadOnly }
func (files) Free(string) (uint64, error)          { return math.MaxUint64, nil }
