package cli

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// runOptions are the flags that `run` and `resume` share: how a run is lived, not what it is.
type runOptions struct {
	device    string
	exact     bool
	cadence   run.Cadence
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
	span(&o.startTimeout, time.Duration(run.DefaultOptions().StartTimeout), 1, 24*time.Hour).add(flags, "start-timeout", "", "time that the plugin has to start")
}

func (o *runOptions) add(flags *pflag.FlagSet) {
	o.pluginOptions.add(flags)
	defaults := run.DefaultOptions()
	flags.StringVar(&o.device, "device", defaults.Device, "what to train on: auto (the best there is), go, cpu or cuda")
	flags.BoolVar(&o.exact, "exact", defaults.Exact, "refuse to go on where the run would no longer be exact; on a GPU, deterministic sums")
	cadence(&o.cadence, defaults.Cadence).add(flags, "checkpoint-every", "", "checkpoint every so many steps (500) or so much time (30s)")
	count(&o.keep, defaults.Keep, 1, most).add(flags, "keep", "", "number of newest checkpoints to keep")
	count(&o.retries, defaults.Retries, 0, most).add(flags, "retries", "", "attempts more after a failure; one that made a newer checkpoint does not count")
	span(&o.stopGrace, time.Duration(defaults.StopGrace), 1, 24*time.Hour).add(flags, "stop-grace", "", "time that the plugin has to save and leave when asked to stop")
	span(&o.timeout, time.Duration(defaults.Timeout), 0, longest).add(flags, "timeout", "", "time that the run may live, all its attempts together; it is then stopped with a checkpoint; 0: no limit")
	span(&o.stall, time.Duration(defaults.Stall), 0, longest).add(flags, "stall", "", "end the attempt if for so long no metric, progress, save or line came from the plugin; 0: never")
	flags.StringArrayVar(&o.mounts, "mount", nil, "directory with data that the experiment asks for by its name, `DIR:NAME`; may be given again")
}

// most is how many retries and checkpoints an option may name: beyond what any run makes.
const most = 1_000_000

// longestGrace, on Modal, leaves an attempt the better part of its Sandbox's day.
const longestGrace = 6 * time.Hour

// apply sets the options that the person gave, and leaves the others as they are.
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
		options.Cadence = o.cadence
	}
	if o.flags.Changed("keep") {
		options.Keep = o.keep
	}
	if o.flags.Changed("retries") {
		options.Retries = o.retries
	}
	if o.flags.Changed("stop-grace") {
		if options.Modal != nil && o.stopGrace > longestGrace {
			return exit.Errorf(exit.Usage, "%s: want at most %s on Modal, where a Sandbox lives a day", given(o.flags, "stop-grace"), longestGrace)
		}
		options.StopGrace = run.Duration(o.stopGrace)
	}
	if o.flags.Changed("timeout") {
		options.Timeout = run.Duration(o.timeout)
	}
	if o.flags.Changed("stall") {
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
			value = os.Getenv(name)
		}
		if _, set := os.LookupEnv(name); !recorded && !set {
			continue // which is refused when the values are asked for
		}
		if err := exactness.CheckThreads(name, value); err != nil {
			return exit.Errorf(exit.Usage, "--env-var %w", err)
		}
	}
	if o.flags.Changed("start-timeout") {
		options.StartTimeout = run.Duration(o.startTimeout)
	}
	return nil
}
