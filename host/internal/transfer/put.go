package transfer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/partial"
)

// Put copies a file, or what is in a directory, to the path remote of the volume; below its own name where that ends in a
// slash. Unless force is given, files of the volume with another content are not replaced: the error is a *ConflictError,
// before anything is copied. What is wrong with the local path is a *LocalError. Directories in which there is no file are
// made where the volume can have them, and skipped else.
func (t *Transfer) Put(ctx context.Context, local, remote string, force bool) error {
	absolute, err := filepath.Abs(local)
	if err != nil {
		return err
	}
	info, err := os.Stat(local)
	if err != nil {
		return &LocalError{err}
	}
	if remote == "" || strings.HasSuffix(remote, "/") {
		remote += filepath.Base(absolute)
	}
	if remote, err = backend.Clean(remote); err != nil {
		return err
	}
	var sources []backend.Source
	var directories []directory
	if info.IsDir() {
		if local, err = filepath.EvalSymlinks(local); err != nil { // a link is not walked into
			return &LocalError{err}
		}
		sources, directories, err = t.walk(local, remote)
	} else {
		sources, err = []backend.Source{source(local, remote, info)}, regular(local, info)
	}
	if err == nil && !force {
		sources, err = t.missing(ctx, remote, sources)
	}
	if err == nil {
		err = t.makeDirectories(ctx, directories)
	}
	if err != nil || len(sources) == 0 {
		return err
	}
	err = t.Volume.Put(ctx, sources, backend.PutOptions{Exclusive: !force, Moved: t.moved})
	if err == nil {
		t.files.Add(int64(len(sources)))
	}
	return err
}

// LocalError is an error about a file of this machine that was to be put.
type LocalError struct{ error }

func (l *LocalError) Unwrap() error { return l.error }

func regular(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return backend.PathError("put", name, backend.ErrNotFile)
	}
	return nil
}

func source(name, remote string, info fs.FileInfo) backend.Source {
	return backend.Source{Path: remote, Size: info.Size(), Mode: info.Mode().Perm(), Open: func() (backend.Content, error) {
		return os.Open(name)
	}}
}

// directory is one that is to be put.
type directory struct {
	local, remote string
	mode          fs.FileMode
	empty         bool
}

// walk finds the files and directories below a directory, and that one itself. Of symbolic links, those to files are followed.
func (t *Transfer) walk(local, remote string) (sources []backend.Source, directories []directory, err error) {
	empty := map[string]int{} // place among directories of those in which nothing was found yet
	err = filepath.WalkDir(local, func(name string, found fs.DirEntry, err error) error {
		if err != nil {
			return &LocalError{err}
		}
		if partial.Is(name) {
			return nil
		}
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && found.Type()&fs.ModeSymlink != 0 || err == nil && !found.IsDir() && !info.Mode().IsRegular() {
			t.skip(name, irregular)
			return nil
		}
		if err != nil {
			return &LocalError{err}
		}
		below, err := filepath.Rel(local, name)
		to := path.Join(remote, filepath.ToSlash(below))
		delete(empty, filepath.Dir(name))
		if found.IsDir() {
			empty[name] = len(directories)
			directories = append(directories, directory{name, to, info.Mode().Perm(), false})
			return err
		}
		sources = append(sources, source(name, to, info))
		return err
	})
	for _, i := range empty {
		directories[i].empty = true
	}
	return sources, directories, err
}

// makeDirectories makes directories, parents first. Where the volume has only those of its files, the others are skipped.
func (t *Transfer) makeDirectories(ctx context.Context, directories []directory) error {
	maker, able := t.Volume.(backend.DirectoryMaker)
	for _, d := range directories {
		switch {
		case able:
			if err := maker.MakeDirectory(ctx, d.remote, d.mode); err != nil {
				return err
			}
		case d.empty:
			t.skip(d.local, fileless)
		}
	}
	return nil
}

// missing returns those of the files that the volume does not have. A *ConflictError: it has some with another content.
func (t *Transfer) missing(ctx context.Context, remote string, sources []backend.Source) ([]backend.Source, error) {
	entries, err := t.Volume.List(ctx, remote, true)
	if errors.Is(err, fs.ErrNotExist) {
		return sources, nil
	}
	if err != nil {
		return nil, err
	}
	there := make(map[string]backend.Entry, len(entries))
	for _, entry := range entries {
		there[entry.Path] = entry
	}
	same := make([]bool, len(sources))
	var found conflicts
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, source := range sources {
		entry, ok := there[source.Path]
		if !ok {
			continue
		}
		group.Go(func() (err error) {
			if same[i], err = t.has(ctx, entry, source); err == nil && !same[i] {
				found.add(source.Path)
			}
			return err
		})
	}
	if err := errors.Join(group.Wait(), found.error("put")); err != nil {
		return nil, err
	}
	var missing []backend.Source
	for i, source := range sources {
		if same[i] {
			t.unchanged.Add(1)
		} else {
			missing = append(missing, source)
		}
	}
	return missing, nil
}

// has says whether an entry has the content of a file that is to be put.
func (t *Transfer) has(ctx context.Context, entry backend.Entry, source backend.Source) (bool, error) {
	if entry.Type != backend.File || entry.Size != source.Size {
		return false, nil
	}
	content, err := source.Open()
	if err != nil {
		return false, err
	}
	defer content.Close()
	return backend.Has(ctx, t.Volume, entry, content, t.moved)
}
