package run

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Hold takes the locks of the runs that use a path of the volume, so that none of them can be live or become it before
// release. exit.StillRunning: one is live.
func (r *Registry) Hold(ctx context.Context, path string) (release func(), err error) {
	entries, err := os.ReadDir(filepath.Join(r.root, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	for _, entry := range entries {
		if entry.IsDir() {
			all = append(all, entry.Name())
		}
	}
	var held []*Run
	release = func() {
		for _, run := range held {
			run.Unlock()
		}
	}
	for _, id := range Users(path, all) {
		run := r.run(id)
		switch err := r.records.acquire(ctx, run); {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case exit.Of(err) == exit.StillRunning:
			release()
			return nil, exit.Errorf(exit.StillRunning, "run %s is still running, and uses %s", id, path).
				Hint("Stop it first: mtt-host stop %s", id)
		case err != nil:
			release()
			return nil, err
		default:
			held = append(held, run)
		}
	}
	return release, nil
}

// Users returns which of the runs of a volume use a clean path of it.
func Users(path string, runs []string) []string {
	top, rest, _ := strings.Cut(path, "/")
	id, _, _ := strings.Cut(rest, "/")
	switch top {
	case "runs", "checkpoints", "files":
		if id == "" {
			return runs
		}
		if slices.Contains(runs, id) {
			return []string{id}
		}
		return nil
	case "bin", "": // a run's executable is there, and who uses which is not worth a mistake
		return runs
	default:
		return nil
	}
}
