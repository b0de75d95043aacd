package cli

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/run"
)

// removeInfo is what was removed, as JSON.
type removeInfo struct {
	Schema string `json:"schema"` // mtt.removal/v1
	Path   string `json:"path"`
	Files  int64  `json:"files"`
	Bytes  int64  `json:"bytes"`
}

func newVolumeRemove() *cobra.Command {
	var options volumeOptions
	var recursive bool
	command := &cobra.Command{
		Use:   "rm VOL PATH",
		Short: "Remove a file of a volume, or with -r a directory",
		Long: `Remove a file of a volume, or with -r a directory.

What a live run uses is not removed: what is its own on the volume that it is on, and the data that it was given with
--mount. Of data on this machine, that is known of the runs in --outputs.`,
		Args: exactly(2),
		RunE: func(command *cobra.Command, args []string) error {
			return options.with(command, args[0], func(ctx context.Context, volume backend.Volume) error {
				release, err := options.guard(ctx, volume, args[0], args[1])
				if err != nil {
					return err
				}
				defer release()
				info, err := remove(ctx, volume, args[1], recursive)
				if err == nil && options.json() {
					err = printJSON(command.OutOrStdout(), info)
				}
				return err
			})
		},
	}
	options.add(command)
	options.addOutputs(command.Flags())
	command.Flags().BoolVarP(&recursive, "recursive", "r", false, "remove a directory and all that is in it")
	return command
}

// guard refuses to remove what a live run uses. On this machine, it also keeps those that have ended from coming to life
// until release.
func (o *volumeOptions) guard(ctx context.Context, volume backend.Volume, name, path string) (release func(), err error) {
	clean, err := backend.Clean(path)
	if err != nil {
		return nil, err
	}
	if elsewhere, ok := volume.(*modal.Volume); ok {
		return func() {}, elsewhere.InUse(ctx, clean)
	}
	return run.Hold(ctx, filepath.Join(name, filepath.FromSlash(clean)), o.outputs)
}

// remove removes a path, and says what was there.
func remove(ctx context.Context, volume backend.Volume, path string, recursive bool) (*removeInfo, error) {
	info := &removeInfo{Schema: "mtt.removal/v1"}
	entry, err := volume.Stat(ctx, path)
	if err != nil {
		return nil, err
	}
	info.Path = entry.Path
	entries := []backend.Entry{entry}
	if recursive && entry.Type == backend.Directory {
		if entries, err = volume.List(ctx, path, true); err != nil {
			return nil, err
		}
	}
	for _, entry := range entries {
		if entry.Type != backend.Directory {
			info.Files++
			info.Bytes += entry.Size
		}
	}
	return info, volume.Remove(ctx, path, recursive)
}
