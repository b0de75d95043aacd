package modalfake

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockState makes the directory and locks it: two fakes would overwrite each other's records.
func lockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another modal-fake uses it")
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}
