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

// A run on this machine has two locks. That of its host, on runs/<id>/attempts, is held by the process that executes the
// run and is handed to nothing but a supervisor: the run is active while it is held. That of the run, on runs/<id>, is
// inherited by the plugin and by whatever that starts: when the host is gone, it says what of the attempt is left.

// How long Lock waits for other holders: a reader that looks at the state holds a lock for microseconds, and the plugin
// of a killed host its own for as long as it takes to leave, which the worker's guarantees put at 5 s.
const (
	patience        = 300 * time.Millisecond
	orphanPatience  = 8 * time.Second
	lockPollingTime = 20 * time.Millisecond
)

// Lock makes the caller the only one who may write, and reads the spec anew: the holder before may have changed it, or
// ended the run. exit.StillRunning: another process executes the run, or the plugin of a killed host has not ended.
// exit.Mismatch: a newer mtt-host has worked on the run.
func (r *Run) Lock(ctx context.Context) error {
	if err := r.registry.records.acquire(ctx, r); err != nil {
		return err
	}
	err := r.newer()
	if err == nil {
		err = r.sweep()
	}
	if err == nil {
		r.Spec, err = r.registry.spec(r.ID)
	}
	if err == nil {
		r.earlier, err = r.StopRequest()
	}
	if err != nil {
		r.Unlock()
	}
	return err
}

// EarlierStop is the request to stop that was there when the lock was taken, and so is not for what follows; nil for
// none. Every other one is.
func (r *Run) EarlierStop() *StopRequest { return r.earlier }

// Handed is what a process that has a run's locks hands to another one, in an order of its own.
func (r *Run) Handed() []*os.File { return []*os.File{r.host, r.lock} }

// Inherit returns the run with the locks, from Handed, and the earlier request to stop that another process hands down.
func (r *Registry) Inherit(id string, handed []*os.File, earlier *StopRequest) (*Run, error) {
	run, err := r.Get(id)
	if err != nil {
		return nil, err
	}
	host, lock := handed[0], handed[1]
	if err := unix.Flock(int(host.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // which it holds already
		return nil, fmt.Errorf("the lock of run %s was not handed down: %w", id, err)
	}
	run.host, run.lock, run.earlier = host, lock, earlier
	return run, nil
}

func (disk) acquire(ctx context.Context, r *Run) error {
	host, err := openHostLock(r)
	if err == nil {
		err = lockWithin(ctx, patience, host)
	}
	if errors.Is(err, errHeld) {
		err = r.stillRunning(holders(host.Name()))
	}
	if err == nil {
		r.host = host
		err = r.acquirePlugins(ctx)
	}
	if err != nil && host != nil {
		host.Close()
		r.host = nil
	}
	return err
}

// openHostLock opens what the host's lock is on, which a run that was copied may lack.
func openHostLock(r *Run) (*os.File, error) {
	dir, err := openDir(r.attemptsDir())
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := os.Mkdir(r.attemptsDir(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openDir(r.attemptsDir())
}

var errNoDirectory = errors.New("it is no directory")

// openDir opens a directory for its lock. What is none, such as a pipe, is damage at once.
func openDir(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, damaged(path, errNoDirectory)
	}
	return dir, err
}

// acquirePlugins takes the lock that plugins inherit. What an attempt has left behind may keep it for ever: if that is
// not the plugin itself, the run does without.
func (r *Run) acquirePlugins(ctx context.Context) error {
	dir, err := openDir(r.Dir())
	if err != nil {
		return err
	}
	last, err := r.lastAttempt()
	if err != nil {
		dir.Close()
		return err
	}
	limit := orphanPatience
	if last == nil || last.End != nil { // its worker has seen the plugin end
		limit = patience
	}
	err = lockWithin(ctx, limit, dir)
	if errors.Is(err, errHeld) {
		held := holders(r.Dir())
		if err = r.passBy(last, held); err == nil {
			r.stray = leftBehind(r.Dir(), held)
		}
	}
	if err != nil {
		dir.Close()
		return err
	}
	r.lock = dir
	return nil
}

// passBy refuses what holds the lock of plugins if that may be the newest attempt's plugin or its host: the attempt has not
// ended, and who the holders are is not known, or it is one of these.
func (r *Run) passBy(last *Attempt, held []process) error {
	if last == nil {
		return nil
	}
	switch known := len(held) > 0; {
	case r.hostLives(last, held):
		return r.stillRunning(held)
	case last.End != nil, known && last.Start == nil, known && !contains(held, last.Start.PluginPID):
		return nil
	}
	return exit.Errorf(exit.StillRunning, "run %s is still running: its host is gone, and %s of attempt %d is not", r.ID, listed(held), last.Number).
		Hint("%s\nThen go on: mtt-host resume %s", howToEnd(r.Dir(), held), r.ID)
}

// hostLives says whether an attempt's host, which took no lock of its own if it is of an earlier version, holds the lock
// that plugins inherit.
func (r *Run) hostLives(last *Attempt, held []process) bool {
	if len(held) > 0 {
		return contains(held, last.Claim.PID)
	}
	hostname, err := os.Hostname()
	return err == nil && last.Claim.Hostname == hostname && !errors.Is(unix.Kill(last.Claim.PID, 0), unix.ESRCH)
}

var errHeld = errors.New("another process holds the lock")

// lockWithin takes the lock of a file, and waits so long for it.
func lockWithin(ctx context.Context, limit time.Duration, file *os.File) error {
	for deadline := time.Now().Add(limit); ; {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return exit.Errorf(exit.Usage, "cannot lock %s: %w", file.Name(), err).
				Hint("The file system of the outputs must support flock.")
		case time.Now().After(deadline):
			return errHeld
		}
		select {
		case <-time.After(lockPollingTime):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sweep is Sweep for a holder of the lock. Where the files are remote, the worker sweeps them on its mount.
func (r *Run) sweep() error {
	if r.lock == nil {
		return nil
	}
	return r.Sweep()
}

// Sweep removes what a killed writer left half-written: of the newest attempt, of the end of the one before, and of the logs. The
// caller is the only one who writes to the run's files there, by a lock or by the claim of an attempt.
func (r *Run) Sweep() error {
	numbers, err := numbered(r.attemptsDir())
	if err != nil {
		return err
	}
	directories := []string{r.Dir(), r.logDir()}
	for _, n := range numbers[max(0, len(numbers)-2):] {
		directories = append(directories, r.attemptDir(n))
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
	if errors.Is(err, fs.ErrNotExist) { // a run that was copied may lack it
		return nil
	}
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
	for _, lock := range []**os.File{&r.lock, &r.host} {
		if *lock != nil {
			(*lock).Close()
			*lock = nil
		}
	}
}

// LockFile is the descriptor of the lock that the plugin inherits; nil where the lock is none.
func (r *Run) LockFile() *os.File { return r.lock }

// Live says whether a process executes the run; on Modal also whether a supervisor does.
func (r *Run) Live() (bool, error) { return r.registry.records.live(r) }

func (disk) live(r *Run) (bool, error) {
	if r.host != nil {
		return true, nil
	}
	active, err := isHeld(r.attemptsDir())
	if active || err != nil {
		return active, err
	}
	held, err := isHeld(r.Dir())
	if !held || err != nil {
		return false, err
	}
	last, err := r.lastAttempt()
	return last != nil && r.hostLives(last, holders(r.Dir())), err
}

// isHeld says whether another process has the lock of a directory.
func isHeld(path string) (bool, error) {
	dir, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
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

// Stray describes what an earlier attempt has left behind and still runs, and how to end it; "" for nothing.
func (r *Run) Stray() string { return r.stray }

// stillRunning refuses what only the process can do that executes the run.
func (r *Run) stillRunning(held []process) error {
	who := ""
	if len(held) > 0 {
		who = ": " + listed(held) + " has it"
	}
	return exit.Errorf(exit.StillRunning, "run %s is still running%s", r.ID, who).
		Hint("Watch it: mtt-host attach %s\nTo start another one beside it, add --new to run.", r.ID)
}
