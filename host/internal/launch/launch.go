// Package launch goes from what a person asks for to a run that is ready for its next attempt: it installs the plugin,
// makes the configuration, and decides whether this is a new run or one that goes on.
package launch

import (
	"context"
	"os"
	"time"

	"github.com/mtt-project/mtt/host/internal/config"
	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Request is what a person asks for.
type Request struct {
	Plugin     string // directory, executable or bare name
	ConfigFile string
	Set        []string // key=value
	Seed       uint64
	Name       string // of the run; "" to find or make one
	New        bool   // never go on with an earlier run
	Options    func(*run.Options) error
	Host       func() (run.Host, error) // who makes the run
	// Binary is what was built for the machine that the run is lived on; "" to build or take what Plugin names.
	Binary string
	// Install, if it is not nil, installs the plugin in another way.
	Install func(context.Context, run.Options) (run.Plugin, *plugin.Description, error)
	// Bin makes, where it is missing, the directory that the plugin's executable is kept in, and returns it.
	Bin func() (string, error)
	// Ready, if it is not nil, is called before a new run is made: whoever finds one finds all that it needs.
	Ready func(context.Context, *run.Spec) error
}

// Prepare makes the spec of the run that is asked for. Nothing but the plugin's executable is written.
func Prepare(ctx context.Context, request Request) (*run.Spec, error) {
	if request.Name != "" {
		if err := run.CheckID(request.Name); err != nil {
			return nil, err
		}
	}
	options := run.DefaultOptions()
	if err := request.Options(&options); err != nil {
		return nil, err
	}
	named, err := options.Environment(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	code, description, err := request.install(ctx, options)
	if err != nil {
		return nil, err
	}
	if options.Device != device.Auto && options.Modal == nil { // one that is named is there, or nothing is begun; the attempt opens it
		if _, _, err := device.Choose(options.Device, description.Devices, plugin.Environment(os.Environ(), named), options.Exact); err != nil {
			return nil, err
		}
	}
	if options.Exact && !description.ExactResume {
		return nil, exit.Errorf(exit.Usage, "--exact: experiment %s does not claim that a resume is exact", description.Name)
	}
	merged, err := description.Config.Merge(request.ConfigFile, request.Set)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "%w", err).
			Hint("See the keys and their defaults: mtt-host plugin describe %s", request.Plugin)
	}
	host, err := request.Host()
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	spec := &run.Spec{
		RunID: request.Name, Experiment: description.Name, Version: description.Version, Prefix: description.CheckpointPrefix,
		Config: merged, ConfigSHA256: config.Hash(merged), Seed: request.Seed,
		Plugin: code, Host: host, Created: now, ExactResume: description.ExactResume, Devices: description.Devices, Metrics: description.Metrics, Options: options,
	}
	if spec.RunID == "" {
		spec.RunID = run.NewID(spec.Experiment, now)
	}
	return spec, fitsModal(spec)
}

func (r Request) install(ctx context.Context, options run.Options) (run.Plugin, *plugin.Description, error) {
	if r.Install != nil {
		return r.Install(ctx, options)
	}
	return Install(ctx, r.Bin, r.Plugin, r.Binary, options)
}

// Install brings the plugin that a person names into a directory of executables, and asks it what it is.
func Install(ctx context.Context, bin func() (string, error), name, binary string, options run.Options) (run.Plugin, *plugin.Description, error) {
	source, err := plugin.Find(name)
	if err != nil {
		return run.Plugin{}, nil, err
	}
	dir, err := bin()
	if err != nil {
		return run.Plugin{}, nil, err
	}
	var executable, asked plugin.Executable
	if options.Modal != nil {
		executable, asked, err = plugin.InstallForModal(ctx, source, binary, dir)
	} else {
		executable, err = plugin.Install(ctx, source, dir)
		asked = executable
	}
	if err != nil {
		return run.Plugin{}, nil, err
	}
	code := run.Plugin{SHA256: executable.SHA256, Path: source.Path}
	if options.Modal != nil {
		if code.Needs, err = plugin.Inspect(executable.Path); err != nil {
			return run.Plugin{}, nil, err
		}
	}
	environment, err := options.Environment(os.LookupEnv)
	if err != nil {
		return run.Plugin{}, nil, err
	}
	description, err := plugin.Describe(ctx, asked, environment, time.Duration(options.StartTimeout))
	if err != nil {
		return run.Plugin{}, nil, err
	}
	if source.Directory {
		code.Commit, code.Diff = SourceState(ctx, source.Path)
	}
	return code, description, nil
}
