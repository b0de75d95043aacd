package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// writeOnce writes a JSON file that must not exist, whole or not at all: the content is durable under a temporary name
// before the real one appears, and a link, unlike a rename, does not replace. fs.ErrExist: there is one.
func writeOnce(path string, value any) error {
	return writeFile(path, value, os.Link)
}

// replace writes a JSON file in the place of the one that may be there, whole or not at all.
func replace(path string, value any) error {
	return writeFile(path, value, os.Rename)
}

// temporarySuffix ends the names of files that are being written.
const temporarySuffix = ".tmp"

func writeFile(path string, value any, publish func(from, to string) error) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	// The name is fixed, since only the holder of the run's lock writes.
	temporary := path + temporarySuffix
	if err := writeSynced(temporary, append(raw, '\n')); err != nil {
		return err
	}
	err = publish(temporary, path)
	if removeErr := os.Remove(temporary); err == nil && removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = removeErr
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, content []byte) error {
	// Never truncated: after a kill between link and removal the name can be a second one of a published file.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
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
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return exit.Errorf(exit.Usage, "outputs cannot be read: %w", err).
			Hint("Run mtt-host as the user whose runs these are, or name another directory with --outputs DIR.")
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return damaged(path, err)
	}
	return nil
}

// damaged says that a record of a run is not what was written: what it stood for is not to be guessed.
func damaged(path string, err error) error {
	return exit.Errorf(exit.BadCheckpoint, "%s is damaged: %w", path, err).
		Hint("Bring a good copy of the file back, or start another run: mtt-host run PLUGIN --new")
}
