package launch

import (
	"bytes"
	"context"
	"errors"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Resume readies a run, by its id, for its next attempt, with the options that the person sets anew. other, if it is
// not empty, names a plugin whose code the run is to go on with.
func Resume(ctx context.Context, registry *run.Registry, bin func() (string, error), id, other string, options func(*run.Options) error) (*Choice, error) {
	there, err := registry.Get(id)
	if err != nil {
		return nil, err
	}
	return locked(ctx, there, func(result *run.Result) (string, error) {
		if result.Succeeded() {
			return "", nil
		}
		adopted := *there.Spec
		if err := options(&adopted.Options); err != nil {
			return "", err
		}
		if other != "" {
			if err := adopt(ctx, bin, &adopted, other); err != nil {
				return "", err
			}
		}
		if err := fitsModal(&adopted); err != nil {
			return "", err
		}
		there.Adopt(&adopted)
		return "", nil
	})
}

// adopt makes the run one of other code, if that is the same experiment and takes the same configuration.
func adopt(ctx context.Context, bin func() (string, error), spec *run.Spec, name string) error {
	code, description, err := Install(ctx, bin, name, "", spec.Options)
	if err != nil {
		return err
	}
	if description.Name != spec.Experiment || description.CheckpointPrefix != spec.Prefix {
		return exit.Errorf(exit.Mismatch, "run %s is of experiment %s with checkpoint prefix %s, and %s is experiment %s with prefix %s",
			spec.RunID, spec.Experiment, spec.Prefix, name, description.Name, description.CheckpointPrefix)
	}
	completed, err := description.Config.Complete(spec.Config)
	if err == nil && !bytes.Equal(completed, spec.Config) {
		err = errors.New("it has configuration keys that the run has no value for")
	}
	if err != nil {
		return exit.Errorf(exit.Mismatch, "the plugin %s does not take the configuration of run %s: %w", name, spec.RunID, err).
			Hint("Start another run with this code: mtt-host run %s --new", name)
	}
	if code.SHA256 != spec.Plugin.SHA256 {
		code.Former = append(spec.Plugin.Former, spec.Plugin.SHA256)
		spec.Plugin, spec.Devices, spec.Metrics = code, description.Devices, description.Metrics
	}
	return nil
}
