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
// slash. Unless force is given, what is there with another content is not replaced: the error is fs.ErrExist, before anything
// is copied.
func (t *Transfer) Put(ctx context.Context, local, remote string, force bool) error {
	absolute, err := filepath.Abs(local)
	if err != nil {
		return err
	}
	info, err := os.Stat(local)
	if err != nil {
		return err
	}
	if remote == "" || strings.HasSuffix(remote, "/") {
		remote += filepath.Base(absolute)
	}
	if remote, err = backend.Clean(remote); err != nil {
		return err
	}
	var sources []backend.Source
	if info.IsDir() {
		if local, err = filepath.EvalSymlinks(local); err != nil { // a link is not walked into
			return err
		}
		sources, err = t.walk(local, remote)
	} else {
		sources, err = []backend.Source{source(local, remote, info)}, regular(local, info)
	}
	if err == nil && !force {
		sources, err = t.missing(ctx, remote, sources)
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

// walk finds the files of a directory. Of symbolic links, those to files are followed.
func (t *Transfer) walk(local, remote string) (sources []backend.Source, err error) {
	err = filepath.WalkDir(local, func(name string, found fs.DirEntry, err error) error {
		if err != nil || found.IsDir() || partial.Is(name) {
			return err
		}
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && found.Type()&fs.ModeSymlink != 0 || err == nil && !info.Mode().IsRegular() {
			t.skip(name, backend.Other)
			return nil
		}
		if err != nil {
			return err
		}
		below, err := filepath.Rel(local, name)
		sources = append(sources, source(name, path.Join(remote, filepath.ToSlash(below)), info))
		return err
	})
	return sources, err
}

// missing returns those of the files that the volume does not have. fs.ErrExist: it has one with another content.
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
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, source := range sources {
		entry, ok := there[source.Path]
		if !ok {
			continue
		}
		group.Go(func() (err error) {
			if same[i], err = t.has(ctx, entry, source); err == nil && !same[i] {
				err = backend.PathError("put", source.Path, fs.ErrExist)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
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
