package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Backend is the runs in a directory of this machine. It implements backend.Backend.
type Backend struct {
	registry *run.Registry
	host     string // path of mtt-host
}

var _ backend.Backend = (*Backend)(nil)

// OpenRuns returns the backend of the runs in a directory, which need not exist. host is the mtt-host that supervises
// detached runs.
func OpenRuns(outputs, host string) (*Backend, error) {
	registry, err := run.Open(outputs)
	if err != nil {
		return nil, err
	}
	return &Backend{registry, host}, nil
}

// Registry is that of backend.Backend.
func (b *Backend) Registry() *run.Registry { return b.registry }

// Checkpoints is that of backend.Backend.
func (b *Backend) Checkpoints(_ context.Context, r *run.Run) checkpoint.Store {
	return dirstore.New(r.Checkpoints(), dirstore.Options{})
}

// Volume is that of backend.Backend: a directory.
func (b *Backend) Volume(_ context.Context, name string) (backend.Volume, error) { return Open(name) }

// Close is that of backend.Backend.
func (b *Backend) Close() error { return nil }

// The descriptors that a supervisor inherits, behind stdin, stdout and stderr.
const (
	hostDescriptor  = 3 + iota // holds the host's lock
	lockDescriptor             // holds the lock that the plugin inherits
	readyDescriptor            // takes one started, when it trains or cannot
)

// handed is what else a supervisor gets, on stdin.
type handed struct {
	Spec    *run.Spec        `json:"spec"` // with what the run has adopted, which is not on the volume yet
	Earlier *run.StopRequest `json:"earlier,omitempty"`
}

// started is what a supervisor says once.
type started struct {
	Code  exit.Code `json:"code"`
	Error string    `json:"error,omitempty"`
	Next  string    `json:"next,omitempty"`
}

// Detach is that of backend.Backend. The lock goes to the supervisor, a process, without being free in between. It
// returns when the plugin trains; an error is why it does not.
func (b *Backend) Detach(ctx context.Context, r *run.Run) error {
	words, err := json.Marshal(handed{r.Spec, r.EarlierStop()})
	if err != nil {
		return err
	}
	said, err := os.OpenFile(r.SupervisorLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return exit.Errorf(exit.Usage, "outputs cannot be written: %w", err)
	}
	defer said.Close()
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	defer theirs.Close()

	supervisor := exec.Command(b.host, "supervise", r.ID, "--outputs", r.Outputs())
	supervisor.Stdout, supervisor.Stderr = said, said
	supervisor.ExtraFiles = append(r.Handed(), theirs)
	supervisor.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := supervisor.StdinPipe()
	if err != nil {
		return err
	}
	if err := supervisor.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = supervisor.Process.Signal(syscall.SIGTERM) })()
	theirs.Close()
	if _, err := stdin.Write(words); err != nil {
		return err
	}
	stdin.Close()

	var answer started
	if err := json.NewDecoder(ready).Decode(&answer); err != nil {
		_ = supervisor.Wait()
		return exit.Errorf(exit.Internal, "the process that was to live run %s ended without a word; see %s", r.ID, r.SupervisorLog())
	}
	if answer.Error != "" {
		_ = supervisor.Wait()
		return exit.Errorf(answer.Code, "%s", answer.Error).Hint("%s", answer.Next)
	}
	return supervisor.Process.Release()
}

// Inherited is what a supervisor gets from Detach.
type Inherited struct {
	Run   *run.Run
	ready io.WriteCloser
}

// Inherit takes a run over from Detach, which has started this process and hands its spec to stdin.
func Inherit(registry *run.Registry, id string, stdin io.Reader) (*Inherited, error) {
	host, lock, ready := os.NewFile(hostDescriptor, "host"), os.NewFile(lockDescriptor, "lock"), os.NewFile(readyDescriptor, "ready")
	if host == nil || lock == nil || ready == nil {
		return nil, errors.New("this command is for mtt-host itself: run -d starts it")
	}
	for _, descriptor := range []int{hostDescriptor, lockDescriptor, readyDescriptor} {
		syscall.CloseOnExec(descriptor)
	}
	i := &Inherited{ready: ready}
	var words handed
	err := json.NewDecoder(bufio.NewReader(stdin)).Decode(&words)
	if err != nil {
		err = fmt.Errorf("cannot read the spec: %w", err)
	} else if i.Run, err = registry.Inherit(id, []*os.File{host, lock}, words.Earlier); err == nil {
		i.Run.Adopt(words.Spec)
	}
	if err != nil {
		i.Answer(err)
	}
	return i, err
}

// Answer tells Detach once that the plugin trains, or why it does not. Whoever waits for it may be gone, which is no matter.
func (i *Inherited) Answer(err error) {
	answer := started{Code: exit.Of(err)}
	if err != nil {
		answer.Error = err.Error()
		if known, ok := errors.AsType[*exit.Error](err); ok {
			answer.Next = known.Next
		}
	}
	_ = json.NewEncoder(i.ready).Encode(answer)
	_ = i.ready.Close()
}
