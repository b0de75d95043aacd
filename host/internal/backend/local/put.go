package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/partial"
)

// parallel is how many files are put at once: what takes the time of small ones is the fsync, which file systems carry
// out for several together.
const parallel = 16

// Put is that of backend.Volume.
func (v *Volume) Put(ctx context.Context, files []backend.Source, options backend.PutOptions) error {
	if err := backend.Distinct(files); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, file := range files {
		group.Go(func() error { return v.put(ctx, file, options) })
	}
	return group.Wait()
}

// put makes one file. The order is what makes it durable: content, name, directory.
func (v *Volume) put(ctx context.Context, source backend.Source, options backend.PutOptions) error {
	clean, err := v.enter(ctx, source.Path)
	if err != nil {
		return err
	}
	if clean == "" {
		return backend.PathError("put", source.Path, backend.ErrIsDirectory)
	}
	if err := v.makeDir(path.Dir(clean)); err != nil {
		return known("put", source.Path, err)
	}
	file, err := partial.Open(v.root, clean, "put", source.Mode)
	if err != nil {
		return known("put", source.Path, err)
	}
	if err := v.write(ctx, file, source, options); err != nil {
		return errors.Join(known("put", source.Path, err), file.Discard())
	}
	if options.Exclusive {
		err = file.PublishNew()
		if errors.Is(err, fs.ErrExist) {
			return v.sameContent(source, clean)
		}
	} else if err = v.replaceable(clean); err != nil {
		err = errors.Join(err, file.Discard())
	} else {
		err = file.Publish()
	}
	if err != nil {
		return known("put", source.Path, err)
	}
	return v.sync(path.Dir(clean))
}

// replaceable refuses what no file may take the place of.
func (v *Volume) replaceable(clean string) error {
	info, err := v.root.Lstat(clean)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fs.ErrExist
	case !info.Mode().IsRegular():
		return backend.ErrNotFile
	default:
		return nil
	}
}

func (v *Volume) write(ctx context.Context, file *partial.File, source backend.Source, options backend.PutOptions) error {
	content, err := source.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := errors.Join(file.Restart(), file.Chmod(source.Mode.Perm())); err != nil {
		return err
	}
	to := &cancellable{ctx, file}
	n, err := io.Copy(to, &counted{io.NewSectionReader(content, 0, source.Size), options.Moved})
	if err == nil && n < source.Size {
		err = backend.ErrChanged
	}
	return errors.Join(err, file.Sync())
}

// counted tells how much was read.
type counted struct {
	from  io.Reader
	moved func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if c.moved != nil {
		c.moved(int64(n))
	}
	return n, err
}

// sameContent forgives that a file is there which is what was to be put.
func (v *Volume) sameContent(source backend.Source, clean string) error {
	if err := v.replaceable(clean); err != nil {
		return known("put", source.Path, err) // to open a pipe would be to wait for its writer
	}
	there, err := v.root.Open(clean)
	if err != nil {
		return err
	}
	defer there.Close()
	content, err := source.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	info, err := there.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Size() == source.Size {
		same, err := backend.SameContent(io.NewSectionReader(there, 0, source.Size), io.NewSectionReader(content, 0, source.Size))
		if same || err != nil {
			return err
		}
	}
	return backend.PathError("put", source.Path, fs.ErrExist)
}

// makeDir makes a directory and its parents, durably. Whoever made one may have been killed before it was durable, but
// then what he put in it was not acknowledged either; what is there is taken as it is.
func (v *Volume) makeDir(dir string) error { return v.makeDirAs(dir, 0o755) }

// makeDirAs is makeDir where the last directory gets these permission bits; those that its maker needs are among them.
func (v *Volume) makeDirAs(dir string, mode fs.FileMode) error {
	info, err := v.root.Stat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil || errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrExist
	}
	if err := v.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	if err := v.root.Mkdir(dir, mode|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return v.sync(path.Dir(dir))
}

// MakeDirectory is that of backend.DirectoryMaker.
func (v *Volume) MakeDirectory(ctx context.Context, name string, mode fs.FileMode) error {
	clean, err := v.enter(ctx, name)
	if err != nil || clean == "" {
		return err
	}
	if err := v.makeDirAs(clean, mode.Perm()); err != nil {
		return known("make directory", name, err)
	}
	return nil
}

func (v *Volume) sync(dir string) error {
	file, err := v.root.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
