package resume

import (
	"slices"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Guard refuses a checkpoint that is not of this run. Code that the run was made to go on with counts as its own.
func Guard(r *run.Run, have *checkpoint.Manifest) error {
	want := r.Spec.Identity()
	if slices.Contains(r.Spec.Plugin.Former, have.PluginSHA256) {
		want.PluginSHA256 = have.PluginSHA256
	}
	return checkpoint.Guard(want, have)
}
