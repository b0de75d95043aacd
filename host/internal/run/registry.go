package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/mtt-project/mtt/host/internal/config"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Registry is the tree of an outputs volume.
type Registry struct {
	name    string // for people
	root    string // absolute
	records records
}

// Open returns the registry under a directory, which need not exist: then it holds no run.
func Open(outputs string) (*Registry, error) {
	root, err := filepath.Abs(outputs)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "outputs %s: %w", outputs, err)
	}
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, exit.Errorf(exit.Usage, "outputs cannot be read: %w", err).Hint(otherOutputs)
	case !info.IsDir():
		return nil, exit.Errorf(exit.Usage, "outputs %s: this is not a directory", root).Hint(otherOutputs)
	}
	return &Registry{name: root, root: root, records: disk{}}, nil
}

// OpenMount returns the registry of a volume that is mounted here, for the worker of an attempt that was claimed elsewhere.
func OpenMount(root string) *Registry { return &Registry{name: root, root: root, records: mount{}} }

const otherOutputs = "Name another directory with --outputs DIR or MTT_OUTPUTS."

// Root is the directory of the volume.
func (r *Registry) Root() string { return r.root }

// Bin is the directory of executables, each named by its SHA-256.
func (r *Registry) Bin() string { return filepath.Join(r.root, "bin") }

// PrepareBin is Prepare, and returns Bin.
func (r *Registry) PrepareBin() (string, error) { return r.Bin(), r.Prepare() }

// Prepare makes the directories that every run needs.
func (r *Registry) Prepare() error {
	for _, name := range []string{"runs", "checkpoints", "files", "bin"} {
		if info, err := os.Stat(filepath.Join(r.root, name)); err == nil && info.IsDir() {
			continue
		}
		if err := r.records.makeDir(filepath.Join(r.root, name)); err != nil {
			return exit.Errorf(exit.Usage, "outputs cannot be written: %w", err).
				Hint(otherOutputs)
		}
	}
	return nil
}

// Create makes a new run and returns it locked. fs.ErrExist: there is a run of that name.
func (r *Registry) Create(ctx context.Context, spec *Spec) (*Run, error) {
	run := r.run(spec.RunID)
	if err := run.MakeDirectories(); err != nil {
		return nil, fmt.Errorf("cannot make run %s: %w", spec.RunID, err)
	}
	err := r.records.acquire(ctx, run)
	if err == nil {
		err = run.sweep()
	}
	spec.Schema = "mtt.spec/v1"
	if err == nil {
		err = r.create(run.specFile(), spec)
	}
	if err != nil {
		run.Unlock()
		return nil, err
	}
	run.Spec = spec
	return run, nil
}

// MakeDirectories makes the directories of the run, where they are missing: a volume elsewhere may keep none that is empty.
func (r *Run) MakeDirectories() error {
	for _, dir := range []string{r.Dir(), r.Checkpoints(), r.Files(), r.logDir(), filepath.Join(r.Dir(), "attempts")} {
		if err := r.registry.records.makeDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Get returns the run of that name.
func (r *Registry) Get(id string) (*Run, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	run := r.run(id)
	var err error
	if run.Spec, err = r.spec(id); err != nil {
		return nil, err
	}
	return run, nil
}

func (r *Registry) spec(id string) (*Spec, error) {
	file := r.run(id).specFile()
	spec := new(Spec)
	err := readJSON(file, spec)
	if errors.Is(err, fs.ErrNotExist) {
		if attempts, attemptsErr := r.run(id).Attempts(); attemptsErr != nil || len(attempts) > 0 {
			return nil, damaged(file, errors.New("it is gone, and the run has attempts"))
		}
		return nil, exit.Errorf(exit.NotFound, "no run %s in %s", id, r.name).
			Hint("See which there are: mtt-host ls")
	}
	if err != nil {
		return nil, err
	}
	var canonical bytes.Buffer // the file is indented for people
	if err := json.Compact(&canonical, spec.Config); err != nil {
		return nil, damaged(file, err)
	}
	spec.Config = canonical.Bytes()
	if isNewer(spec.Schema) && spec.RunID == id {
		return spec, nil // its canonical form may be another, and Lock refuses it
	}
	if spec.RunID != id || config.Hash(spec.Config) != spec.ConfigSHA256 {
		return nil, exit.Errorf(exit.Mismatch, "%s was changed: its configuration or its name is not the one that the run began with", file).
			Hint("Undo the change; for another configuration, start another run.")
	}
	return spec, nil
}

// Broken is a run whose run.json cannot be read: it has no Spec.
type Broken struct {
	*Run
	Err error
}

// List returns all runs, the oldest first. Directories without a run.json, left by a kill in the making, do not count;
// a run.json that cannot be read is an entry in broken, so that one damaged run does not hide the others.
func (r *Registry) List() (runs []*Run, broken []Broken, err error) {
	entries, err := os.ReadDir(filepath.Join(r.root, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list runs: %w", err)
	}
	for _, entry := range entries {
		if CheckID(entry.Name()) != nil || !entry.IsDir() {
			continue
		}
		run, err := r.Get(entry.Name())
		switch {
		case err == nil:
			runs = append(runs, run)
		case exit.Of(err) != exit.NotFound:
			broken = append(broken, Broken{r.run(entry.Name()), err})
		}
	}
	slices.SortStableFunc(runs, func(a, b *Run) int { return a.Spec.Created.Compare(b.Spec.Created) })
	return runs, broken, nil
}

func (r *Registry) run(id string) *Run { return &Run{ID: id, registry: r, ended: new(sync.Map)} }
