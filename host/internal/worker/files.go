package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyNew brings the files below from to the same places below to, those that are there already with the same size
// and time left alone. Each file arrives whole or not at all. Links and special files are not an experiment's output
// and are passed over. What is missing in from stays in to: a half-filled directory must not erase a whole one.
func copyNew(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the experiment removed it meanwhile
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type().IsRegular():
			return copyFile(path, target)
		default:
			return nil
		}
	})
}

func copyFile(path, target string) error {
	from, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(target); err == nil && there.Size() == info.Size() && there.ModTime().Equal(info.ModTime()) {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), partialPattern)
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = io.Copy(temporary, from)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("cannot keep the output file %s: %w", path, err)
	}
	if err := os.Chmod(temporary.Name(), info.Mode().Perm()); err != nil {
		return err
	}
	if err := os.Chtimes(temporary.Name(), info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), target)
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
