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

// Hold takes the locks of the runs on this machine that use a path or what is below it, so that none of them is live or
// becomes it before release: those on a volume that the path is in, or that is below it; and, of those on the volume
// outputs, those whose data it is. exit.StillRunning: one is live. Runs that are made meanwhile are not held: nobody
// knows of them.
func Hold(ctx context.Context, path, outputs string) (release func(), err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	path = resolveParent(path)
	roots, err := volumesAt(path)
	if err != nil {
		return nil, err
	}
	roots = append(roots, outputs)
	var held []*Run
	release = func() {
		for _, run := range held {
			run.Unlock()
		}
	}
	known := map[string]bool{} // one run may be found in several ways, and has one lock
	for _, root := range roots {
		registry, err := Open(root)
		var runs []*Run
		if err == nil {
			runs, err = registry.all()
		}
		if err != nil {
			release()
			return nil, err
		}
		for _, run := range runs {
			dir := resolve(run.Dir())
			if known[dir] || !run.uses(path) {
				continue
			}
			known[dir] = true
			switch err := registry.records.acquire(ctx, run); {
			case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			case exit.Of(err) == exit.StillRunning:
				release()
				return nil, exit.Errorf(exit.StillRunning, "%w in %s, and uses %s", err, registry.root, path).
					Hint("Stop it first: mtt-host stop %s --outputs %s", run.ID, exit.ShellText(registry.root))
			case err != nil:
				release()
				return nil, err
			default:
				held = append(held, run)
			}
		}
	}
	return release, nil
}

// volumesAt returns the directories that hold runs and that a path is in, is, or has below it.
func volumesAt(path string) (roots []string, err error) {
	for dir := path; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, "runs")); err == nil && info.IsDir() {
			roots = append(roots, dir)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && name != path && entry.IsDir() && entry.Name() == "runs":
			roots = append(roots, filepath.Dir(name))
		}
		return err
	})
	return roots, err
}

// all returns the runs without their specs, those too of which there is no more than the directory.
func (r *Registry) all() (runs []*Run, err error) {
	entries, err := os.ReadDir(filepath.Join(r.root, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			runs = append(runs, r.run(entry.Name()))
		}
	}
	return runs, err
}

// uses says whether the run needs a path of this machine, or what is below it. Which of the executables is its own is not
// worth a mistake.
func (r *Run) uses(path string) bool {
	places := []string{r.Dir(), r.Checkpoints(), r.Files(), r.registry.Bin()}
	if spec, err := r.registry.spec(r.ID); err == nil && spec.Options.Modal == nil {
		for _, dir := range spec.Options.Mounts {
			places = append(places, dir)
		}
	}
	return slices.ContainsFunc(places, func(place string) bool {
		return overlap(place, path) || overlap(resolve(place), path)
	})
}

// overlap says whether one of two absolute paths is the other, or in it.
func overlap(a, b string) bool { return within(a, b) || within(b, a) }

func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(relative)
}

// resolve follows symbolic links, as far as there is something.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// resolveParent leaves the last link, which is what is removed.
func resolveParent(path string) string {
	return filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
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
