package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
	"github.com/mtt-project/mtt/host/internal/worker"
)

// newWork is the command that a Sandbox with an attempt runs.
func newWork() *cobra.Command {
	var (
		outputs string
		attempt int
		limit   time.Duration
	)
	command := &cobra.Command{
		Use:    "work RUN",
		Short:  "Live an attempt that a supervisor on Modal has claimed",
		Hidden: true,
		Args:   exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			there, err := run.OpenMount(outputs).Get(args[0])
			if err != nil {
				return err
			}
			affordable, err := modal.Affordable(there)
			if err != nil {
				return err
			}
			now, stop, release := told(command.Context(), command.InOrStdin(), limits{sandbox: limit, cost: affordable, costUp: modal.CostUp(there)})
			defer release()
			// No file of the volume may be open while it is synced, not even one that is executed.
			dir, err := scratch.New()
			if err != nil {
				return err
			}
			defer dir.Close()
			executable := filepath.Join(dir.Path, "plugin")
			if err := copyExecutable(there.Executable(), executable); err != nil {
				return err
			}
			secrets, err := secretsOf(there.Spec.Options)
			if err != nil {
				return err
			}
			events := newUnblocked(beneath(command.OutOrStdout()))
			defer events.flush()
			encoder := json.NewEncoder(events)
			data := map[string]string{}
			for name := range there.Spec.Options.Mounts {
				data[name] = path.Join(modal.DataPath, name)
			}
			outcome, err := (&worker.Worker{
				Run: there, Version: version, Executable: executable, Data: data, Secrets: secrets,
				Emit: func(event eventlog.Event) { _ = encoder.Encode(event) },
				Sync: func(context.Context) error { return syncMount(outputs) },
			}).Claimed(now, stop, attempt)
			if err == nil {
				err = outcome.Err
			}
			return inSandbox(err)
		},
	}
	flags := command.Flags()
	flags.StringVar(&outputs, "outputs", "", "where the volume is mounted")
	count(&attempt, 0, 1, math.MaxInt).add(flags, "attempt", "", "number of the attempt")
	span(&limit, run.SandboxLimit, 1, run.SandboxLimit).add(flags, "limit", "", "save and make room for the next attempt after so long")
	return command
}

// inSandbox gives an error the exit code with which a worker says it.
func inSandbox(err error) error {
	if _, other := errors.AsType[*worker.OtherMachineError](err); other {
		return exit.Errorf(modal.OtherMachine, "%w", err)
	}
	return err
}

// secretsOf returns the variables that the plugin is to have of Secrets, which Modal has put into our environment.
func secretsOf(options run.Options) (map[string]string, error) {
	secrets, err := options.Passed(os.LookupEnv)
	if err != nil {
		return nil, exit.Errorf(exit.NotFound, "%w", err)
	}
	for _, secret := range options.Modal.Secrets {
		for _, key := range secret.Keys {
			value, ok := os.LookupEnv(key)
			if !ok {
				return nil, exit.Errorf(exit.NotFound, "the Secret %s has no key %s any more", secret.Name, key)
			}
			secrets[key] = value
		}
	}
	return secrets, nil
}

// limits are how long a worker may live: in its Sandbox, and for what the run may cost.
type limits struct {
	sandbox, cost time.Duration
	costUp        error
}

// told returns contexts as a Worker wants them. Its supervisor asks for the end on stdin. A signal is Modal's, which wants
// the machine back, and so is the end of the time that a Sandbox has: the run goes on elsewhere. What it may cost holds
// without a supervisor, too.
func told(ctx context.Context, stdin io.Reader, limits limits) (now, stop context.Context, release func()) {
	now, end := context.WithCancel(ctx)
	stop, ask := context.WithCancelCause(now)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(stdin); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-now.Done():
				return
			}
		}
	}()
	go func() {
		lines, late, dear := lines, time.After(limits.sandbox), time.After(limits.cost)
		for {
			select {
			case <-signals:
				ask(exit.Errorf(exit.Interrupted, "Modal takes the machine back"))
			case <-late:
				ask(exit.Errorf(exit.Interrupted, "the time of its Sandbox is up"))
			case <-dear:
				ask(limits.costUp)
			case line, open := <-lines:
				switch {
				case !open:
					lines = nil // nobody will ask this way
				case line == modal.StopLine:
					ask(exit.Errorf(exit.Stopped, "stopped by mtt-host stop"))
				case line == modal.LimitLine:
					ask(limits.costUp)
				case line == modal.NowLine:
					ask(exit.Errorf(exit.Stopped, "stopped by mtt-host stop --now"))
					end()
				}
			case <-now.Done():
				signal.Stop(signals)
				return
			}
		}
	}()
	return now, stop, end
}

// syncMount commits a volume of Modal's: that is what a sync of its mount point does.
func syncMount(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func copyExecutable(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return exit.Errorf(exit.NotFound, "the run's plugin is not on the volume: %w", err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// newSuperviseModal is the command that the Sandbox of a supervisor runs.
func newSuperviseModal() *cobra.Command {
	var s modal.Supervision
	command := &cobra.Command{
		Use:    "supervise-modal RUN",
		Short:  "Live a run on Modal",
		Hidden: true,
		Args:   exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			s.Run, s.Version, s.Stdin = args[0], version, command.InOrStdin()
			out := newUnblocked(beneath(command.OutOrStdout()))
			defer out.flush()
			s.Say = func(format string, args ...any) {
				fmt.Fprintln(out, time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
			}
			return modal.Supervise(command.Context(), s)
		},
	}
	flags := command.Flags()
	flags.StringVar(&s.Environment, "modal-env", "", "environment")
	flags.StringVar(&s.Volume, "volume", "", "name of the volume")
	flags.StringVar(&s.VolumeID, "volume-id", "", "id of the volume")
	count(&s.Number, 0, 1, math.MaxInt).add(flags, "number", "", "number of the supervisor")
	span(&s.Limit, run.SandboxLimit, 1, run.SandboxLimit).add(flags, "limit", "", "hand over after so long")
	return command
}
