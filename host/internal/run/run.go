package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Run is one run on the volume. Methods that write need the lock.
type Run struct {
	ID       string
	Spec     *Spec
	registry *Registry
	lock     *os.File
	adopted  bool // Spec is not the one on the volume yet
}

// Dir holds the small files of the run, its event files among them.
func (r *Run) Dir() string { return filepath.Join(r.registry.root, "runs", r.ID) }

// Checkpoints is the directory of the run's checkpoints.
func (r *Run) Checkpoints() string { return filepath.Join(r.registry.root, "checkpoints", r.ID) }

// Files holds what the experiment wrote to its output_dir.
func (r *Run) Files() string { return filepath.Join(r.registry.root, "files", r.ID) }

// Executable is the plugin's, by content.
func (r *Run) Executable() string { return filepath.Join(r.registry.Bin(), r.Spec.Plugin.SHA256) }

// LogFile is where the worker of attempt n writes its events.
func (r *Run) LogFile(n int) string {
	return filepath.Join(r.logDir(), strconv.Itoa(n)+".jsonl")
}

// SupervisorLog is where a detached supervisor's own last words go.
func (r *Run) SupervisorLog() string { return filepath.Join(r.logDir(), "supervisor.log") }

// Outputs is the directory of the volume that the run is on.
func (r *Run) Outputs() string { return r.registry.root }

func (r *Run) logDir() string { return filepath.Join(r.Dir(), "log") }

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
	if err := r.acquire(ctx); err != nil {
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

func (r *Run) acquire(ctx context.Context) error {
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
			return exit.Errorf(exit.StillRunning, "run %s is still running", r.ID).
				Hint("Look at it: mtt-host show %s\nStart another one beside it: mtt-host run PLUGIN --new", r.ID)
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

// LockFile is the descriptor that holds the lock, for the plugin to inherit.
func (r *Run) LockFile() *os.File { return r.lock }

// Live says whether a worker or its plugin is alive.
func (r *Run) Live() (bool, error) {
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

// Result is result.json: how a run ended for good.
type Result struct {
	Schema  string             `json:"schema"` // mtt.result/v1
	State   State              `json:"state"`  // SUCCEEDED or FAILED
	Result  checkpoint.Metrics `json:"result,omitempty"`
	Error   string             `json:"error,omitempty"`
	Code    exit.Code          `json:"exit_code"`
	Step    uint64             `json:"step"`
	Attempt int                `json:"attempt"`
	Time    time.Time          `json:"time"`
}

// Succeeded says that the run has ended with a result. A nil Result has not.
func (r *Result) Succeeded() bool { return r != nil && r.State == Succeeded }

func (r *Run) specFile() string   { return filepath.Join(r.Dir(), "run.json") }
func (r *Run) resultFile() string { return filepath.Join(r.Dir(), "result.json") }

// Result returns how the run ended, or nil if it has not.
func (r *Run) Result() (*Result, error) {
	result := new(Result)
	err := readJSON(r.resultFile(), result)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return result, err
}

// Finish writes result.json.
func (r *Run) Finish(result Result) error {
	result.Schema = "mtt.result/v1"
	result.Time = time.Now().UTC()
	return writeOnce(r.resultFile(), result)
}

// Adopt gives the run another plugin or other options, for a resume with them. Nothing is written before Reopen, so that
// a resume that is refused changes nothing.
func (r *Run) Adopt(spec *Spec) {
	r.Spec, r.adopted = spec, true
}

// Reopen readies the run for its next attempt: what it has adopted is written, a request to stop that was followed is
// removed, and the result of a FAILED one moves to the attempt that failed.
func (r *Run) Reopen() error {
	if r.adopted {
		if err := replace(r.specFile(), r.Spec); err != nil {
			return err
		}
		r.adopted = false
	}
	if err := os.Remove(r.stopFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	result, err := r.Result()
	if err != nil || result == nil {
		return err
	}
	to := filepath.Join(r.attemptDir(result.Attempt), "result.json")
	if err := os.Rename(r.resultFile(), to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(r.Dir()))
}
