package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// How long Lock waits for another holder: a reader that looks at the state holds the lock for microseconds, and the
// plugin of a killed host for as long as it takes to leave, which the worker's guarantees put at 5 s.
const (
	patience        = 300 * time.Millisecond
	orphanPatience  = 8 * time.Second
	lockPollingTime = 20 * time.Millisecond
)

// Lock makes the caller the only one who may write, and reads the spec anew: the holder before may have changed it, or
// ended the run. It is held by a descriptor on the run's directory, which the plugin inherits, so that it outlives a
// killed host for as long as the plugin can still do harm.
func (r *Run) Lock(ctx context.Context) error {
	if err := r.registry.records.acquire(ctx, r); err != nil {
		return err
	}
	err := r.sweep()
	if err == nil {
		r.Spec, err = r.registry.spec(r.ID)
	}
	if err != nil {
		r.Unlock()
	}
	return err
}

// Inherit returns the run with a lock that another process has taken and handed down.
func (r *Registry) Inherit(id string, lock *os.File) (*Run, error) {
	run, err := r.Get(id)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // which it holds already
		return nil, fmt.Errorf("the lock of run %s was not handed down: %w", id, err)
	}
	run.lock = lock
	return run, nil
}

func (disk) acquire(ctx context.Context, r *Run) error {
	dir, err := os.Open(r.Dir())
	if err != nil {
		return err
	}
	limit := patience
	if r.hostIsDead() {
		limit = orphanPatience
	}
	for deadline := time.Now().Add(limit); ; {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			r.lock = dir
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			dir.Close()
			return exit.Errorf(exit.Usage, "cannot lock %s: %w", r.Dir(), err).
				Hint("The file system of the outputs must support flock.")
		}
		if time.Now().After(deadline) {
			dir.Close()
			return r.stillRunning()
		}
		select {
		case <-time.After(lockPollingTime):
		case <-ctx.Done():
			dir.Close()
			return ctx.Err()
		}
	}
}

// sweep removes what a holder of the lock that was killed left half-written.
func (r *Run) sweep() error {
	if r.lock == nil { // the files are elsewhere
		return nil
	}
	directories := []string{r.Dir()}
	attempts := filepath.Join(r.Dir(), "attempts")
	entries, err := os.ReadDir(attempts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		directories = append(directories, filepath.Join(attempts, entry.Name()))
	}
	for _, dir := range directories {
		if err := removeTemporary(dir); err != nil {
			return err
		}
	}
	return nil
}

func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), temporarySuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Unlock lets others write. It is harmless without the lock.
func (r *Run) Unlock() {
	if r.lock != nil {
		r.lock.Close()
		r.lock = nil
	}
}

// LockFile is the descriptor that holds the lock, for the plugin to inherit; nil where the lock is none.
func (r *Run) LockFile() *os.File { return r.lock }

// Live says whether a worker or its plugin is alive; on Modal also a supervisor.
func (r *Run) Live() (bool, error) { return r.registry.records.live(r) }

func (disk) live(r *Run) (bool, error) {
	if r.lock != nil {
		return true, nil
	}
	dir, err := os.Open(r.Dir())
	if err != nil {
		return false, err
	}
	defer dir.Close()
	err = unix.Flock(int(dir.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// hostIsDead says that the newest attempt's host ran on this machine and is no more.
func (r *Run) hostIsDead() bool {
	attempts, err := r.Attempts()
	if err != nil || len(attempts) == 0 {
		return false
	}
	claim := attempts[len(attempts)-1].Claim
	hostname, err := os.Hostname()
	return err == nil && claim.Hostname == hostname && errors.Is(unix.Kill(claim.PID, 0), unix.ESRCH)
}

// stillRunning refuses what only somebody can do who has the run alone.
func (r *Run) stillRunning() error {
	return exit.Errorf(exit.StillRunning, "run %s is still running", r.ID).
		Hint("Watch it: mtt-host attach %s\nTo start another one beside it, add --new to run.", r.ID)
}
