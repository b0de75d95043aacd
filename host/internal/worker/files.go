package worker

import (
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
func copyNew(from, to string) (unreadable []error, err error) {
	changed := map[string]bool{} // directories below to
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the experiment removed it meanwhile
		}
		if err != nil {
			unreadable = append(unreadable, err)
			return nil
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
		copied, err := copyFile(source, target)
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

// makeRoom removes a file where the experiment has now a directory, or the other way round.
func makeRoom(target string, directory bool) error {
	info, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.IsDir() == directory {
		return err
	}
	return os.RemoveAll(target)
}

// copyFile copies a file to target, unless that is the same already, and says whether it has.
func copyFile(from *os.File, target string) (copied bool, err error) {
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
	_, err = io.Copy(temporary, from)
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
