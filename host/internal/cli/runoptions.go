package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// runOptions are the flags that `run` and `resume` share: how a run is lived, not what it is.
type runOptions struct {
	device    string
	exact     bool
	cadence   string
	keep      int
	retries   int
	stopGrace time.Duration
	mounts    []string
	timeout   time.Duration
	stall     time.Duration
	pluginOptions
}

// pluginOptions are the flags of every command that starts a plugin.
type pluginOptions struct {
	flags        *pflag.FlagSet
	env          []string
	startTimeout time.Duration
}

func (o *pluginOptions) add(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringArrayVar(&o.env, "env-var", nil, "`NAME=VALUE` in the plugin's environment, which is recorded; NAME alone passes on this command's, unrecorded; may be given again")
	flags.DurationVar(&o.startTimeout, "start-timeout", time.Duration(run.DefaultOptions().StartTimeout), "time that the plugin has to start")
}

func (o *runOptions) add(flags *pflag.FlagSet) {
	o.pluginOptions.add(flags)
	defaults := run.DefaultOptions()
	flags.StringVar(&o.device, "device", defaults.Device, "what to train on: auto (the best there is), go, cpu or cuda")
	flags.BoolVar(&o.exact, "exact", defaults.Exact, "refuse to go on where the run would no longer be exact; on a GPU, deterministic sums")
	flags.StringVar(&o.cadence, "checkpoint-every", defaults.Cadence.String(), "checkpoint every so many steps (500) or so much time (30s)")
	flags.IntVar(&o.keep, "keep", defaults.Keep, "number of newest checkpoints to keep")
	flags.IntVar(&o.retries, "retries", defaults.Retries, "attempts more after a failure; one that made a newer checkpoint does not count")
	flags.DurationVar(&o.stopGrace, "stop-grace", time.Duration(defaults.StopGrace), "time that the plugin has to save and leave when asked to stop")
	flags.DurationVar(&o.timeout, "timeout", time.Duration(defaults.Timeout), "time that the run may live, all its attempts together; it is then stopped with a checkpoint; 0: no limit")
	flags.DurationVar(&o.stall, "stall", time.Duration(defaults.Stall), "end the attempt if for so long no metric, progress, save or line came from the plugin; 0: never")
	flags.StringArrayVar(&o.mounts, "mount", nil, "directory with data that the experiment asks for by its name, `DIR:NAME`; may be given again")
}

// apply sets the options that the person gave, and leaves the others as they are.
// longestGrace, on Modal, leaves an attempt the better part of its Sandbox's day.
const longestGrace = 6 * time.Hour

func (o *runOptions) apply(options *run.Options) error {
	if o.flags.Changed("device") {
		if !slices.Contains(device.Names, o.device) {
			return exit.Errorf(exit.Usage, "%s: want one of %s", given(o.flags, "device"), strings.Join(device.Names, ", "))
		}
		options.Device = o.device
	}
	if o.flags.Changed("exact") {
		options.Exact = o.exact
	}
	if o.flags.Changed("checkpoint-every") {
		cadence, err := run.ParseCadence(o.cadence)
		if err != nil {
			return exit.Errorf(exit.Usage, "%s: %w", given(o.flags, "checkpoint-every"), err)
		}
		options.Cadence = cadence
	}
	if o.flags.Changed("keep") {
		if o.keep < 1 {
			return exit.Errorf(exit.Usage, "%s: want at least 1, or a kill could lose the run", given(o.flags, "keep"))
		}
		options.Keep = o.keep
	}
	if o.flags.Changed("retries") {
		if o.retries < 0 {
			return exit.Errorf(exit.Usage, "%s: want 0 or more", given(o.flags, "retries"))
		}
		options.Retries = o.retries
	}
	if o.flags.Changed("stop-grace") {
		if o.stopGrace <= 0 {
			return exit.Errorf(exit.Usage, "%s: want more than 0", given(o.flags, "stop-grace"))
		}
		if options.Modal != nil && o.stopGrace > longestGrace {
			return exit.Errorf(exit.Usage, "%s: want at most %s on Modal, where a Sandbox lives a day", given(o.flags, "stop-grace"), longestGrace)
		}
		options.StopGrace = run.Duration(o.stopGrace)
	}
	if o.flags.Changed("timeout") {
		if o.timeout < 0 {
			return exit.Errorf(exit.Usage, "%s: want 0 or more", given(o.flags, "timeout"))
		}
		options.Timeout = run.Duration(o.timeout)
	}
	if o.flags.Changed("stall") {
		if o.stall < 0 {
			return exit.Errorf(exit.Usage, "%s: want 0 or more", given(o.flags, "stall"))
		}
		options.Stall = run.Duration(o.stall)
	}
	if err := options.Mount(o.mounts); err != nil {
		return err
	}
	return o.pluginOptions.apply(options)
}

func (o *pluginOptions) apply(options *run.Options) error {
	for _, variable := range o.env {
		name, value, recorded := strings.Cut(variable, "=")
		switch {
		case name == "":
			return exit.Errorf(exit.Usage, "--env-var %q: want NAME=VALUE, or NAME", variable)
		case strings.HasPrefix(name, "MODAL_TOKEN_"):
			return exit.Errorf(exit.Usage, "--env-var %s: Modal's credentials go to no plugin", name)
		case recorded:
			options.SetEnv(name, value)
		default:
			options.PassEnv(name)
		}
	}
	if o.flags.Changed("start-timeout") {
		if o.startTimeout <= 0 {
			return exit.Errorf(exit.Usage, "%s: want more than 0", given(o.flags, "start-timeout"))
		}
		options.StartTimeout = run.Duration(o.startTimeout)
	}
	return nil
}
