package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
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

What a live run uses is not removed.`,
		Args: exactly(2),
		RunE: func(command *cobra.Command, args []string) error {
			return options.with(command, args[0], func(ctx context.Context, volume backend.Volume) error {
				release, err := guard(ctx, volume, args[0], args[1])
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
	command.Flags().BoolVarP(&recursive, "recursive", "r", false, "remove a directory and all that is in it")
	return command
}

// guard refuses to remove what a live run uses. On this machine, it also keeps runs from coming to life until release.
func guard(ctx context.Context, volume backend.Volume, name, path string) (release func(), err error) {
	clean, err := backend.Clean(path)
	if err != nil {
		return nil, err
	}
	if elsewhere, ok := volume.(*modal.Volume); ok {
		live, err := elsewhere.LiveRuns(ctx)
		if err != nil {
			return nil, err
		}
		if using := run.Users(clean, live); len(using) > 0 {
			return nil, exit.Errorf(exit.StillRunning, "run %s is still running, and uses %s", using[0], clean).
				Hint("Stop it first: mtt-host stop %s --volume %s", using[0], shellText(name))
		}
		return func() {}, nil
	}
	registry, err := run.Open(name)
	if err != nil {
		return nil, err
	}
	release, err = registry.Hold(ctx, clean)
	if known, ok := errors.AsType[*exit.Error](err); ok && known.Code == exit.StillRunning {
		known.Next += " --outputs " + shellText(name)
	}
	return release, err
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
