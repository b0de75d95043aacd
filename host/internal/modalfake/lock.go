package modalfake

import (
	"errors"
	"fmt"
	"os"
	"time"

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
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("another modal-fake uses it"), f.Close())
		}
	}
}

// lockPatience is how long the guard of a killed fake may take to end that one's Sandboxes; it holds the lock until
// then.
const lockPatience = 5 * time.Second
