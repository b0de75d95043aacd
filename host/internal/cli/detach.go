package cli

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/backend/local"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/supervise"
	"github.com/mtt-project/mtt/host/internal/worker"
)

func addDetach(flags *pflag.FlagSet, detach *bool) {
	flags.BoolVarP(detach, "detach", "d", false, "print the run's name once it trains, and leave; it goes on without the terminal")
}

// newSupervise is the command that a detached supervisor runs.
func newSupervise() *cobra.Command {
	var outputs string
	command := &cobra.Command{
		Use:    "supervise RUN",
		Short:  "Live a run that run -d has begun",
		Hidden: true,
		Args:   exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGHUP) // of the terminal that it was begun from
			registry, err := run.Open(outputs)
			if err != nil {
				return err
			}
			inherited, err := local.Inherit(registry, args[0], command.InOrStdin())
			if err != nil {
				return err
			}
			locked := inherited.Run
			defer locked.Unlock()
			var once sync.Once
			answer := func(err error) { once.Do(func() { inherited.Answer(err) }) }
			passed, err := locked.Spec.Options.Passed(os.LookupEnv) // the environment is that of the command which started it
			if err != nil {
				answer(err)
				return err
			}
			signals, release := catch(command.Context())
			defer release()
			_, err = supervise.Run(signals.now, signals.stop, locked, &worker.Worker{Run: locked, Version: version, Secrets: passed, Emit: func(event eventlog.Event) {
				if event.Kind == eventlog.Started {
					answer(nil)
				}
			}}, supervise.Here())
			answer(err)
			return err
		},
	}
	command.Flags().StringVar(&outputs, "outputs", "", "directory that holds runs and checkpoints")
	return command
}
