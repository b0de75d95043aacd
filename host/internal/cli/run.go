package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/launch"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/supervise"
	"github.com/mtt-project/mtt/host/internal/worker"
)

func newRun() *cobra.Command {
	var (
		common    common
		options   runOptions
		elsewhere modalOptions
		request   launch.Request
		detach    bool
		dry       bool
	)
	command := &cobra.Command{
		Use:   "run PLUGIN",
		Short: "Train an experiment, or go on with the run of it that was left unfinished",
		Long: `Train an experiment.

PLUGIN is a directory with a Go main package, an executable, or the bare name of
one in plugins/ or bin/plugins/.

If there is a run of the same experiment, configuration, seed and code that was
stopped or killed, it goes on from its last checkpoint; --new starts another. If
the last one has failed, it is refused: resume goes on with it.
Ctrl-C saves a checkpoint and leaves; a second one leaves at once.`,
		Example: `  mtt-host run plugins/train
  mtt-host run plugins/train -S steps=2000 -S hidden=256 --seed 1 --name wide`,
		Args: exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			request.Plugin, request.Host = args[0], thisHost
			if common.backend == onModal {
				if err := checkForModal(request.Name, &elsewhere); err != nil {
					return err
				}
			}
			if dry {
				on, err := common.place(command.Context(), modal.Nothing)
				if err != nil {
					return err
				}
				defer on.close()
				return dryRun(command, common, request, on, &elsewhere, func(o *run.Options) error { return both(o, on, &elsewhere, &options) })
			}
			return live(command, common, modal.AppAndVolume, detach, func(ctx context.Context, view *view, on place) (*launch.Choice, error) {
				request.Bin = on.bin
				if elsewhere.build && on.elsewhere() {
					secrets, err := parseSecrets("build-secret", elsewhere.buildSecrets)
					if err != nil {
						return nil, err
					}
					request.Install = func(ctx context.Context, _ run.Options) (run.Plugin, *plugin.Description, error) {
						return on.buildOnModal(ctx, view, args[0], secrets)
					}
				}
				request.Ready = func(ctx context.Context, spec *run.Spec) error { return on.send(ctx, view, spec) }
				request.Options = func(o *run.Options) error { return both(o, on, &elsewhere, &options) }
				spec, err := launch.Prepare(ctx, request)
				if err != nil {
					return nil, err
				}
				runs, err := on.refreshed(ctx, "")
				if err != nil {
					return nil, err
				}
				return launch.Choose(ctx, runs, spec, request)
			})
		},
	}
	flags := command.Flags()
	common.add(flags)
	options.add(flags)
	elsewhere.add(flags)
	addDetach(flags, &detach)
	flags.StringArrayVarP(&request.Set, "set", "S", nil, "set the configuration `key=value`; may be given again")
	flags.StringVar(&request.ConfigFile, "config", "", "configuration `file`, TOML or JSON")
	seed(&request.Seed).add(flags, "seed", "", "seed of everything random, below 2^53")
	flags.StringVar(&request.Name, "name", "", "name of the run; one of that name goes on")
	flags.BoolVar(&elsewhere.build, "build", false, "with -b modal: build the plugin there, in a Sandbox without a GPU, from its source")
	flags.StringArrayVar(&elsewhere.buildSecrets, "build-secret", nil, "with --build: `NAME=KEY,...` of a Modal Secret that the go command gets, for private modules")
	flags.StringVar(&request.Binary, "binary", "", "with -b modal: the plugin's executable for linux/amd64, built elsewhere")
	flags.BoolVar(&dry, "dry-run", false, "say what would be done, and send nothing")
	flags.BoolVar(&request.New, "new", false, "start another run beside an unfinished one")
	return command
}

func newResume() *cobra.Command {
	var (
		common    common
		options   runOptions
		elsewhere modalOptions
		other     string
		detach    bool
	)
	command := &cobra.Command{
		Use:   "resume RUN",
		Short: "Go on with a run from its last checkpoint",
		Long: `Go on with a run that was stopped, killed or has failed, from its last
checkpoint, with the code that it began with.

--plugin goes on with other code. mtt then no longer claims that the run equals
one that was left alone.`,
		Args: exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			return live(command, common, modal.App, detach, func(ctx context.Context, _ *view, on place) (*launch.Choice, error) {
				runs, err := on.refreshed(ctx, args[0])
				if err != nil {
					return nil, err
				}
				return launch.Resume(ctx, runs.Registry(), on.bin, args[0], other, func(o *run.Options) error {
					return both(o, on, &elsewhere, &options)
				})
			})
		},
	}
	flags := command.Flags()
	common.add(flags)
	options.add(flags)
	elsewhere.add(flags)
	addDetach(flags, &detach)
	flags.StringVar(&other, "plugin", "", "go on with the code of this `plugin`")
	return command
}

// checkForModal refuses what cannot be on Modal, before it is asked to make anything. name may be "".
func checkForModal(name string, options *modalOptions) error {
	if _, err := options.check(); err != nil || name == "" {
		return err
	}
	return modal.CheckID(name)
}

// both sets what a person gave, first where the run is lived: what a mount is depends on it.
func both(o *run.Options, on place, elsewhere *modalOptions, options *runOptions) error {
	if err := elsewhere.apply(o, on); err != nil {
		return err
	}
	return options.apply(o)
}

// live chooses a run, lives it until it has ended, or has it lived elsewhere, and prints it.
func live(command *cobra.Command, common common, create modal.Create, detach bool, choose func(context.Context, *view, place) (*launch.Choice, error)) error {
	signals, release := catch(command.Context())
	defer release()
	go thisHost() // beside the preparations
	if !detach {
		outlivesReader(command.OutOrStdout())
	}
	view := newView(command.ErrOrStderr())
	common.patient, common.say = !detach, view.say
	on, err := common.place(signals.stop, create)
	if err != nil {
		return err
	}
	defer on.close()
	choice, err := choose(signals.stop, view, on)
	if signals.stop.Err() != nil {
		if choice != nil {
			choice.Run.Unlock()
		}
		return exit.Errorf(exit.Signalled, "interrupted before training had begun")
	}
	if err != nil {
		return err
	}
	defer choice.Run.Unlock()
	var passed map[string]string
	if !choice.Finished {
		if passed, err = choice.Run.Spec.Options.Passed(os.LookupEnv); err != nil {
			return err
		}
	}
	if choice.Note != "" {
		view.say(choice.Note)
	}
	if choice.Warning != "" {
		view.warn(choice.Warning)
	}
	switch {
	case choice.Finished:
	case detach, on.elsewhere():
		if unsure := launch.Unsure(choice.Run.Spec); unsure != "" {
			view.say("warning: " + unsure)
		}
		if err := on.detach(signals.stop, view, choice.Run); err != nil {
			if signals.stop.Err() != nil {
				return exit.Errorf(exit.Signalled, "left run %s before its supervisor had a machine", choice.Run.ID).
					Hint("See whether it goes on: mtt-host show %s\nGo on with it: mtt-host resume %s", choice.Run.ID, choice.Run.ID)
			}
			return err
		}
		if detach {
			return announce(command, common, view, choice.Run)
		}
		opened, err := on.on()
		if err != nil {
			return err
		}
		return attach(command, common, signals, release, view, opened, choice.Run)
	default:
		_, err = supervise.Run(signals.now, signals.stop, choice.Run, &worker.Worker{Run: choice.Run, Version: version, Secrets: passed, Emit: view.show}, supervise.Here())
	}
	choice.Run.Unlock() // so that the state below is that of a run nobody works on
	release()           // from here on nothing can be lost: a Ctrl-C ends even a wait for a terminal that is stopped
	view.end()
	opened, openErr := on.on()
	if openErr != nil {
		return openErr
	}
	return summarize(command, common, view, opened, choice.Run, err)
}

// announce prints a run that a process of its own lives.
func announce(command *cobra.Command, common common, view *view, begun *run.Run) error {
	outputs := outputsText(command.Flags())
	for _, line := range [][2]string{
		{"watch", "mtt-host attach " + begun.ID + outputs},
		{"wait", "mtt-host wait " + begun.ID + outputs},
		{"stop", "mtt-host stop " + begun.ID + outputs},
	} {
		view.line(fmt.Sprintf("  %-12s %s", line[0], line[1]))
	}
	view.end()
	if !common.json() {
		_, err := fmt.Fprintln(command.OutOrStdout(), begun.ID)
		return err
	}
	info, err := begun.Info()
	if err != nil {
		return err
	}
	return printJSON(command.OutOrStdout(), info)
}

// summarize prints the run as it ended; err is how.
func summarize(command *cobra.Command, common common, view *view, on backend.Backend, ended *run.Run, err error) error {
	info, infoErr := ended.Info()
	if infoErr != nil {
		if err == nil {
			err = infoErr
		}
		return err
	}
	if common.json() {
		if printErr := printJSON(command.OutOrStdout(), info); err == nil {
			err = printErr
		}
	} else if err == nil {
		fmt.Fprintln(command.OutOrStdout(), resultText(info))
	}
	view.summary(info, outputsText(command.Flags()))
	if checkErr := checkResult(command, on, ended); checkErr != nil {
		return checkErr
	}
	return err
}

// stateText says where a run has come to.
func stateText(info *run.Info) string {
	return fmt.Sprintf("%s %s at step %s", info.RunID, info.State, stepText(info))
}

func resultText(info *run.Info) string {
	if info.State != run.Succeeded {
		return stateText(info)
	}
	return fmt.Sprintf("%s %s: %s", info.RunID, info.State, metricsText(info.Result))
}
