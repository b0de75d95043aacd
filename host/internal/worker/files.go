package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// copyNew brings the files below from to the same places below to, durably, those that are there already with the same
// size and time left alone. Each file arrives whole or not at all. Links and special files are not an experiment's output
// and are passed over. What is missing in from stays in to: a half-filled directory must not erase a whole one.
//
// What cannot be read in from is the experiment's doing: it is passed over and returned. An error is one of writing.
func copyNew(ctx context.Context, from, to string) (unreadable []error, err error) {
	changed := map[string]bool{} // directories below to
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the experiment removed it meanwhile
		}
		if err != nil {
			unreadable = append(unreadable, err)
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if !entry.IsDir() && !entry.Type().IsRegular() {
			return nil
		}
		if err := makeRoom(target, entry.IsDir()); err != nil {
			return err
		}
		if entry.IsDir() {
			err := os.Mkdir(target, 0o755)
			if errors.Is(err, fs.ErrExist) {
				return nil
			}
			changed[filepath.Dir(target)] = true
			return err
		}
		source, err := os.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			unreadable = append(unreadable, err)
			return nil
		}
		defer source.Close()
		copied, err := copyFile(ctx, source, target)
		if copied {
			changed[filepath.Dir(target)] = true
		}
		return err
	})
	for _, dir := range slices.Sorted(maps.Keys(changed)) {
		err = errors.Join(err, syncDir(dir))
	}
	return unreadable, err
}

// makeRoom removes a file where the experiment has now a directory, or the other way round. A link is somebody else's.
func makeRoom(target string, directory bool) error {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() == fs.ModeSymlink:
		return linkError(target)
	case info.IsDir() == directory:
		return nil
	default:
		return os.RemoveAll(target)
	}
}

// linkError refuses a link among the files that are kept. mtt makes none, so a person has put it there, and to follow or
// to replace it could cost what is behind it.
func linkError(path string) error {
	return fmt.Errorf("%s is a link, and what a run keeps has to be there itself: move it back, or keep all outputs elsewhere", path)
}

// refuseLinks looks for links in a directory, and at it.
func refuseLinks(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type() == fs.ModeSymlink {
			err = linkError(path)
		}
		return err
	})
}

// copyFile copies a file to target, unless that is the same already, and says whether it has.
func copyFile(ctx context.Context, from *os.File, target string) (copied bool, err error) {
	info, err := from.Stat()
	if err != nil {
		return false, err
	}
	if there, err := os.Stat(target); err == nil && there.Size() == info.Size() && there.ModTime().Equal(info.ModTime()) {
		return false, nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), partialPattern)
	if err != nil {
		return false, err
	}
	defer os.Remove(temporary.Name())
	_, err = io.Copy(temporary, cancellable{ctx, from})
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return false, fmt.Errorf("cannot keep the output file %s: %w", from.Name(), err)
	}
	if err := os.Chmod(temporary.Name(), info.Mode().Perm()); err != nil {
		return false, err
	}
	if err := os.Chtimes(temporary.Name(), info.ModTime(), info.ModTime()); err != nil {
		return false, err
	}
	return true, os.Rename(temporary.Name(), target)
}

// cancellable ends a copy when its context does.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// partialPattern names files that are being copied. removePartial removes those that a killed worker left.
const partialPattern = ".mtt-partial-*"

func removePartial(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if match, _ := filepath.Match(partialPattern, entry.Name()); match && entry.Type().IsRegular() {
			return os.Remove(path)
		}
		return nil
	})
}
