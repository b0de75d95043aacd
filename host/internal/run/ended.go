package run

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// CheckEnded refuses a path of a volume, with exit.StillRunning, that a run uses which may be live, as far as its files
// tell: its last attempt is claimed and has no end, and there is no result. On another machine than the run's, that is
// all that can be known.
func CheckEnded(ctx context.Context, volume backend.Volume, name string) error {
	entries, err := volume.List(ctx, "runs", false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all []string
	for _, entry := range entries {
		if entry.Type == backend.Directory {
			all = append(all, path.Base(entry.Path))
		}
	}
	for _, id := range users(name, all) {
		live, err := mayBeLive(ctx, volume, id)
		if err != nil {
			return err
		}
		if live {
			return exit.Errorf(exit.StillRunning, "run %s may be still running: its last attempt has no recorded end", id).
				Hint("If you know that it has ended, add --force.")
		}
	}
	return nil
}

func mayBeLive(ctx context.Context, volume backend.Volume, id string) (bool, error) {
	dir := path.Join("runs", id)
	entries, err := volume.List(ctx, dir, true)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	claimed, ended := 0, 0
	for _, entry := range entries {
		below := strings.TrimPrefix(entry.Path, dir+"/")
		if below == "result.json" {
			return false, nil
		}
		number, file := path.Split(strings.TrimPrefix(below, "attempts/"))
		n, err := strconv.Atoi(strings.TrimSuffix(number, "/"))
		switch {
		case err != nil:
		case file == "claim.json":
			claimed = max(claimed, n)
		case file == "end.json":
			ended = max(ended, n)
		}
	}
	return claimed > ended, nil
}
