package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Resume readies a run, by its id, for its next attempt, with the options that the person sets anew. other, if it is
// not empty, names a plugin whose code the run is to go on with.
func Resume(ctx context.Context, registry *run.Registry, id, other string, options func(*run.Options) error) (*Choice, error) {
	there, err := registry.Get(id)
	if err != nil {
		return nil, err
	}
	result, err := there.Result()
	if err != nil {
		return nil, err
	}
	if result != nil && result.State == run.Succeeded {
		return &Choice{Run: there, Finished: true, Note: finishedNote(there)}, nil
	}
	if err := there.Lock(); err != nil {
		return nil, err
	}
	spec := *there.Spec
	err = options(&spec.Options)
	if err == nil && other != "" {
		err = adopt(ctx, registry, &spec, other)
	}
	if err == nil && result != nil {
		err = there.Reopen(result)
	}
	if err == nil {
		err = there.Adopt(&spec)
	}
	if err != nil {
		there.Unlock()
		return nil, err
	}
	return &Choice{Run: there}, nil
}

// adopt makes the run one of other code, if that is the same experiment and takes the same configuration.
func adopt(ctx context.Context, registry *run.Registry, spec *run.Spec, name string) error {
	code, description, err := Install(ctx, registry, name, spec.Options)
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
		spec.Plugin = code
	}
	return nil
}

func finishedNote(r *run.Run) string {
	return fmt.Sprintf("run %s has finished already; nothing was trained", r.ID)
}
