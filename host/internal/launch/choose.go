package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Choice is the run to work on.
type Choice struct {
	// Run is locked, unless it is Finished.
	Run *run.Run
	// Finished says that the run has its result, and nothing is to be done.
	Finished bool
	// Note says in words what was chosen, where that is not plain; "" for a new run.
	Note string
}

// Choose decides which run spec stands for: the one of that name, the one that was left unfinished, or a new one.
func Choose(registry *run.Registry, spec *run.Spec, request Request) (*Choice, error) {
	if request.Name != "" {
		return chooseNamed(registry, spec, request)
	}
	var note string
	if !request.New {
		unfinished, otherCode, err := unfinished(registry, spec)
		if err != nil {
			return nil, err
		}
		switch {
		case len(unfinished) == 1:
			return goOn(unfinished[0], request.Options)
		case len(unfinished) > 1:
			return nil, exit.Errorf(exit.Usage, "%d runs of this experiment, configuration, seed and code are unfinished: %s", len(unfinished), ids(unfinished)).
				Hint("Go on with one: mtt-host resume RUN\nStart another: mtt-host run PLUGIN --new")
		case len(otherCode) > 0:
			note = fmt.Sprintf("a new run, since the plugin's code is not that of the unfinished %s; to go on with the code that began it: mtt-host resume RUN", ids(otherCode))
		}
	}
	return create(registry, spec, note)
}

func create(registry *run.Registry, spec *run.Spec, note string) (*Choice, error) {
	created, err := registry.Create(spec)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, exit.Errorf(exit.StillRunning, "run %s was made by another process just now", spec.RunID)
	case err != nil && exit.Of(err) == exit.Internal:
		return nil, exit.Errorf(exit.Usage, "outputs cannot be written: %w", err).
			Hint("Name a directory that can be written with --outputs DIR or MTT_OUTPUTS.")
	case err != nil:
		return nil, err
	}
	return &Choice{Run: created, Note: note}, nil
}

func chooseNamed(registry *run.Registry, spec *run.Spec, request Request) (*Choice, error) {
	there, err := registry.Get(request.Name)
	if exit.Of(err) == exit.NotFound {
		return create(registry, spec, "")
	}
	if err != nil {
		return nil, err
	}
	if request.New {
		return nil, exit.Errorf(exit.Usage, "--new --name %s: there is a run of that name", request.Name).
			Hint("Choose another name, or leave --name out.")
	}
	if !there.Spec.Same(spec) {
		return nil, otherIdentity(there, spec)
	}
	info, err := there.Info()
	if err != nil {
		return nil, err
	}
	switch info.State {
	case run.Succeeded:
		return &Choice{Run: there, Finished: true, Note: finishedNote(there)}, nil
	case run.Failed:
		return nil, exit.Errorf(*info.ExitCode, "run %s has failed: %s", there.ID, info.Error).
			Hint("Try once more from its last checkpoint: mtt-host resume %s", there.ID)
	}
	return goOn(there, request.Options)
}

func otherIdentity(there *run.Run, spec *run.Spec) error {
	// A checkpoint of the run that is there would be refused for the same reason, with the same words.
	difference := checkpoint.Guard(spec.Identity(), &checkpoint.Manifest{Header: checkpoint.Header{Identity: there.Spec.Identity()}})
	var mismatch *checkpoint.MismatchError
	if !errors.As(difference, &mismatch) {
		return exit.Errorf(exit.Mismatch, "run %s is another one", there.ID)
	}
	return exit.Errorf(exit.Mismatch, "run %s is another one:%s", there.ID, mismatch.Differences("the run", "what was asked for")).
		Hint("Go on with it as it is: mtt-host resume %s\nStart over with what was asked for: choose another --name.", there.ID)
}

// unfinished finds the runs that are the same but for their names and can go on; and those that would be, had they the
// same code. A live one is an error.
func unfinished(registry *run.Registry, spec *run.Spec) (same, otherCode []*run.Run, err error) {
	runs, _, err := registry.List()
	if err != nil {
		return nil, nil, err
	}
	for _, candidate := range runs {
		coded := *spec
		coded.Plugin.SHA256 = candidate.Spec.Plugin.SHA256
		if !candidate.Spec.Same(&coded) {
			continue
		}
		info, err := candidate.Info()
		if err != nil {
			return nil, nil, err
		}
		switch {
		case info.State == run.Succeeded || info.State == run.Failed:
		case !candidate.Spec.Same(spec):
			otherCode = append(otherCode, candidate)
		default:
			same = append(same, candidate)
		}
	}
	return same, otherCode, nil
}

// goOn locks an unfinished run and gives it the options that the person set anew.
func goOn(there *run.Run, options func(*run.Options) error) (*Choice, error) {
	if err := there.Lock(); err != nil {
		return nil, err
	}
	spec := *there.Spec
	if err := errors.Join(options(&spec.Options), there.Adopt(&spec)); err != nil {
		there.Unlock()
		return nil, err
	}
	return &Choice{Run: there, Note: fmt.Sprintf("going on with run %s; to start another: --new", there.ID)}, nil
}

func ids(runs []*run.Run) string {
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.ID
	}
	return strings.Join(names, ", ")
}
