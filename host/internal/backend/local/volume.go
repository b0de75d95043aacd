// Package local has volumes that are directories of this machine.
package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/partial"
)

// Volume is a directory. Nothing outside is ever reached through it, by a symbolic link neither.
type Volume struct {
	root *os.Root
}

// Open opens a directory, which must be there.
func Open(dir string) (*Volume, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, syscall.ENOTDIR) {
		err = backend.PathError("open", dir, errors.New("this is not a directory"))
	}
	if err != nil {
		return nil, err
	}
	return &Volume{root}, nil
}

// Close is that of backend.Volume.
func (v *Volume) Close() error { return v.root.Close() }

// Stat is that of backend.Volume.
func (v *Volume) Stat(ctx context.Context, name string) (backend.Entry, error) {
	clean, err := v.enter(ctx, name)
	if err != nil {
		return backend.Entry{}, err
	}
	info, err := v.root.Lstat(in(clean))
	if err != nil {
		return backend.Entry{}, known("stat", name, err)
	}
	return entryOf(clean, info), nil
}

// List is that of backend.Volume.
func (v *Volume) List(ctx context.Context, name string, recursive bool) ([]backend.Entry, error) {
	entry, err := v.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if entry.Type != backend.Directory {
		return []backend.Entry{entry}, nil
	}
	var entries []backend.Entry
	var list func(dir string) error
	list = func(dir string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		names, err := fs.ReadDir(v.root.FS(), in(dir))
		if errors.Is(err, fs.ErrNotExist) && dir != entry.Path {
			return nil // removed meanwhile
		}
		if err != nil {
			return known("list", dir, err)
		}
		for _, found := range names {
			info, err := found.Info()
			if errors.Is(err, fs.ErrNotExist) || partial.Is(found.Name()) {
				continue
			}
			if err != nil {
				return err
			}
			entry := entryOf(path.Join(dir, found.Name()), info)
			entries = append(entries, entry)
			if recursive && entry.Type == backend.Directory {
				if err := list(entry.Path); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err = list(entry.Path)
	slices.SortFunc(entries, func(a, b backend.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, err
}

// Read is that of backend.Volume.
func (v *Volume) Read(ctx context.Context, entry backend.Entry, from, length int64, to io.Writer) error {
	clean, err := v.enter(ctx, entry.Path)
	if err != nil {
		return err
	}
	if entry.Type != backend.File {
		return backend.PathError("read", entry.Path, backend.NotFile(entry.Type))
	}
	file, err := v.root.OpenFile(in(clean), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return known("read", entry.Path, err)
	}
	defer file.Close()
	if entry.Whole {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		entry.Size, entry.Modified, from, length = info.Size(), info.ModTime(), 0, info.Size()
	}
	if err := unchanged(file, entry); err != nil {
		return err
	}
	length = max(0, min(length, entry.Size-from))
	n, err := io.Copy(&cancellable{ctx, to}, io.NewSectionReader(file, from, length))
	if err != nil {
		return err
	}
	if n < length {
		return backend.PathError("read", entry.Path, backend.ErrChanged)
	}
	return unchanged(file, entry)
}

// Compare is that of backend.Volume.
func (v *Volume) Compare(ctx context.Context, entry backend.Entry, length int64, content io.ReaderAt) (bool, error) {
	return backend.CompareRead(ctx, v, entry, length, content, nil)
}

// unchanged says whether a file is the one that the entry is about, or has grown.
func unchanged(file *os.File, entry backend.Entry) error {
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() < entry.Size || info.Size() == entry.Size && !info.ModTime().Equal(entry.Modified)) {
		err = backend.PathError("read", entry.Path, backend.ErrChanged)
	}
	return err
}

// cancellable is a writer that fails when a context has ended.
type cancellable struct {
	ctx context.Context
	to  io.Writer
}

func (c *cancellable) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.to.Write(p)
}

// Remove is that of backend.Volume.
func (v *Volume) Remove(ctx context.Context, name string, recursive bool) error {
	clean, err := v.enter(ctx, name)
	if err != nil {
		return err
	}
	if clean == "" {
		return backend.PathError("remove", name, fs.ErrInvalid)
	}
	info, err := v.root.Lstat(clean)
	switch {
	case err != nil:
	case !info.IsDir():
		err = v.root.Remove(clean)
	case !recursive:
		err = backend.ErrIsDirectory
	default:
		err = v.root.RemoveAll(clean)
	}
	if err != nil {
		return known("remove", name, err)
	}
	return v.sync(path.Dir(clean))
}

// enter is what every method begins with.
func (v *Volume) enter(ctx context.Context, name string) (clean string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return backend.Clean(name)
}

// in is a clean path as the operating system has it.
func in(clean string) string {
	if clean == "" {
		return "."
	}
	return clean
}

func entryOf(name string, info fs.FileInfo) backend.Entry {
	mode := info.Mode().Perm()
	entry := backend.Entry{Path: name, Type: backend.Other, Modified: info.ModTime(), Mode: &mode}
	switch {
	case info.IsDir():
		entry.Type = backend.Directory
	case info.Mode().IsRegular():
		entry.Type, entry.Size = backend.File, info.Size()
	case info.Mode()&fs.ModeSymlink != 0:
		entry.Type = backend.Symlink
	}
	return entry
}

// known turns an error of the operating system into one of the contract's, about the path in the volume.
func known(op, name string, err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		err = fs.ErrNotExist // a path through a file
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		err = backend.ErrFull
	case errors.Is(err, syscall.EISDIR):
		err = backend.ErrIsDirectory
	}
	return backend.PathError(op, name, err)
}
