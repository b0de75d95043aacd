package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/regular"
)

// disk is records in a directory of this machine. Whether others may write is a lock on the run's directory.
type disk struct{}

// create writes the content under a temporary name, durably, before the real one appears; and a link, unlike a rename,
// does not replace.
func (disk) create(path string, raw []byte) error { return publish(path, raw, os.Link) }

// replace may be called without the lock.
func (disk) replace(path string, raw []byte) error { return publish(path, raw, os.Rename) }

func (disk) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (disk) move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

func (disk) makeDir(path string) error { return makeDir(path) }

func (disk) endIsLast() bool { return true }

func (disk) asked(*Run, StopRequest) error { return nil } // who lives it looks

func (disk) refresh(context.Context, string) error { return nil }

func (disk) complete(r *Run, info *Info, _ []Attempt) error {
	info.Directory = r.Dir()
	if info.State.active() {
		return nil
	}
	held, err := isHeld(r.Dir())
	if held {
		info.Warning = leftBehind(r.Dir(), holders(r.Dir()))
	}
	return err
}

// mount is records in a volume that is mounted here while nobody else writes to the run: one attempt's worker, on another
// machine than the supervisor's. The claim of the attempt is its right to write, and it has no lock. Volumes may have no
// hard links.
type mount struct{ disk }

func (mount) create(path string, raw []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return publish(path, raw, os.Rename)
}

func (mount) acquire(context.Context, *Run) error { return nil }
func (mount) live(*Run) (bool, error)             { return true, nil }

// temporarySuffix ends the names of files that are being written.
const temporarySuffix = ".tmp"

func publish(path string, raw []byte, name func(from, to string) error) error {
	temporary, err := writeTemporary(path, raw)
	if err == nil {
		err = name(temporary, path)
		if removeErr := os.Remove(temporary); err == nil && removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = removeErr
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// RecordMode is the permission bits of one of a run's records. Those that hold its options, and so what --env-var has set, are
// for the user alone who has made the run.
func RecordMode(path string) fs.FileMode {
	name, of := filepath.Base(path), filepath.Base(filepath.Dir(filepath.Dir(path)))
	if name == "run.json" || name == "claim.json" && of == "supervisors" {
		return 0o600
	}
	return 0o644
}

// writeTemporary makes a file beside the one at path, durably, and returns its name.
func writeTemporary(path string, content []byte) (string, error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+temporarySuffix)
	if err != nil {
		return "", err
	}
	err = file.Chmod(RecordMode(path))
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// makeDir makes a directory and its parents, durably.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDir(filepath.Dir(path)); err == nil {
			err = os.Mkdir(path, 0o755)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			err = nil // and is synced once more, since whoever made it may have been killed before
		}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readJSON reads a JSON file into value. fs.ErrNotExist: there is none.
func readJSON(path string, value any) error {
	raw, err := regular.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case errors.Is(err, regular.ErrNotRegular):
		return damaged(path, regular.ErrNotRegular)
	case err != nil:
		return exit.Errorf(exit.Usage, "outputs cannot be read: %w", err).
			Hint("Run mtt-host as the user whose runs these are, or name another directory with --outputs DIR.")
	}
	if err := json.Unmarshal(raw, value); err != nil {
		if schema := newerSchema(raw); schema != "" {
			return newerError(path, schema)
		}
		return damaged(path, err)
	}
	return nil
}

// damaged says that a record of a run is not what was written: what it stood for is not to be guessed.
func damaged(path string, err error) error {
	return exit.Errorf(exit.BadCheckpoint, "%s is damaged: %w", path, err).
		Hint("Bring a good copy of the file back, or start another run: mtt-host run PLUGIN --new")
}
