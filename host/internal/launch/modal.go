package launch

import (
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
)

// fitsModal refuses, before anything is spent, a plugin that could not start in the image.
func fitsModal(executable plugin.Executable, options run.Options) error {
	binary, err := plugin.Inspect(executable.Path)
	if err != nil {
		return err
	}
	binary.Path = executable.Name
	return binary.RunsIn(options.Modal.Image)
}
