package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/supervise"
	"github.com/mtt-project/mtt/host/internal/worker"
)

func addDetach(flags *pflag.FlagSet, detach *bool) {
	flags.BoolVarP(detach, "detach", "d", false, "print the run's name once it trains, and leave; it goes on without the terminal")
}

// The descriptors that a detached supervisor inherits, behind stdin, stdout and stderr.
const (
	lockDescriptor  = 3 + iota // holds the run's lock
	readyDescriptor            // takes one started, when it trains or cannot
)

// started is what a detached supervisor says once.
type started struct {
	Code  exit.Code `json:"code"`
	Error string    `json:"error,omitempty"`
	Next  string    `json:"next,omitempty"`
}

// detached has another process live the run, which outlives this one and its terminal. The lock goes to it without being
// free in between. It returns when the plugin trains; an error is why it does not.
func detached(ctx context.Context, r *run.Run) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	spec, err := json.Marshal(r.Spec) // with what the run has adopted, which is not on the volume yet
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

	supervisor := exec.Command(self, "supervise", r.ID, "--outputs", r.Outputs())
	supervisor.Stdout, supervisor.Stderr = said, said
	supervisor.ExtraFiles = []*os.File{r.LockFile(), theirs}
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
	if _, err := stdin.Write(spec); err != nil {
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

// newSupervise is the command that a detached supervisor runs.
func newSupervise() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:    "supervise RUN",
		Short:  "Live a run that run -d has begun",
		Hidden: true,
		Args:   exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGHUP) // of the terminal that it was begun from
			ready := os.NewFile(readyDescriptor, "ready")
			var once sync.Once
			answer := func(err error) { once.Do(func() { tell(ready, err) }) }
			err := superviseHere(command, common, args[0], func(event eventlog.Event) {
				if event.Kind == eventlog.Started {
					answer(nil)
				}
			})
			answer(err)
			return err
		},
	}
	common.add(command.Flags())
	return command
}

func superviseHere(command *cobra.Command, common common, id string, emit func(eventlog.Event)) error {
	registry, err := common.registry()
	if err != nil {
		return err
	}
	lock := os.NewFile(lockDescriptor, "lock")
	if lock == nil {
		return errors.New("this command is for mtt-host itself: run -d starts it")
	}
	syscall.CloseOnExec(lockDescriptor)
	syscall.CloseOnExec(readyDescriptor)
	locked, err := registry.Inherit(id, lock)
	if err != nil {
		return err
	}
	defer locked.Unlock()
	spec := new(run.Spec)
	if err := json.NewDecoder(bufio.NewReader(command.InOrStdin())).Decode(spec); err != nil {
		return fmt.Errorf("cannot read the spec: %w", err)
	}
	locked.Adopt(spec)
	signals, release := catch(command.Context())
	defer release()
	_, err = supervise.Run(signals.now, signals.stop, locked, &worker.Worker{Run: locked, Version: version, Emit: emit}, supervise.Here())
	return err
}

// tell answers the process that waits for the start. That may be gone, which is no matter.
func tell(to io.WriteCloser, err error) {
	answer := started{Code: exit.Of(err)}
	if err != nil {
		answer.Error = err.Error()
		var known *exit.Error
		if errors.As(err, &known) {
			answer.Next = known.Next
		}
	}
	_ = json.NewEncoder(to).Encode(answer)
	_ = to.Close()
}
