package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
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
	// Warning is of what an earlier attempt has left behind; "" for nothing.
	Warning string
}

// Choose decides which run spec stands for: the one of that name, the one that was left unfinished, or a new one. One that
// has FAILED is refused with its exit code: starting over is for the user to decide. What the registry has of all runs is
// up to date.
func Choose(ctx context.Context, on backend.Backend, spec *run.Spec, request Request) (*Choice, error) {
	registry := on.Registry()
	if request.Name != "" {
		return chooseNamed(ctx, registry, spec, request)
	}
	if request.New {
		return create(ctx, registry, spec, request.Ready, "")
	}
	found, err := findRelated(ctx, on, spec)
	if err != nil {
		return nil, err
	}
	same, err := found.toGoOnWith()
	if err != nil {
		return nil, err
	}
	if same != nil {
		return goOn(ctx, same, spec, request.Options)
	}
	var note string
	if len(found.otherCode) > 0 {
		note = fmt.Sprintf("a new run, since the plugin's code is not that of the unfinished %s; to go on with the code that began it: mtt-host resume RUN", ids(found.otherCode))
	}
	return create(ctx, registry, spec, request.Ready, note)
}

func create(ctx context.Context, registry *run.Registry, spec *run.Spec, ready func(context.Context, *run.Spec) error, note string) (*Choice, error) {
	if ready != nil {
		if err := ready(ctx, spec); err != nil {
			return nil, err
		}
	}
	created, err := registry.Create(ctx, spec)
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

func chooseNamed(ctx context.Context, registry *run.Registry, spec *run.Spec, request Request) (*Choice, error) {
	there, err := registry.Get(request.Name)
	if exit.Of(err) == exit.NotFound {
		return create(ctx, registry, spec, request.Ready, "")
	}
	if err != nil {
		return nil, err
	}
	if request.New {
		return nil, exit.Errorf(exit.Usage, "--new --name %s: there is a run of that name", request.Name).
			Hint("Choose another name, or leave --name out.")
	}
	return goOn(ctx, there, spec, request.Options)
}

// goOn locks a run, and then, since another holder of the lock may have been faster, looks whether it is what was asked
// for and can go on. Its options become those that the person set anew.
func goOn(ctx context.Context, there *run.Run, spec *run.Spec, options func(*run.Options) error) (*Choice, error) {
	return locked(ctx, there, func(result *run.Result) (string, error) {
		if err := refuse(there, spec, result); err != nil || result.Succeeded() {
			return "", err
		}
		adopted := *there.Spec
		if err := options(&adopted.Options); err != nil {
			return "", err
		}
		if err := fitsModal(&adopted); err != nil {
			return "", err
		}
		there.Adopt(&adopted)
		return fmt.Sprintf("going on with run %s; to start another: --new", there.ID), nil
	})
}

// locked locks a run and readies it. Nothing that was read before the lock counts, so ready gets the result of the run,
// nil for one that has not ended. It may adopt, and says in words what was chosen.
func locked(ctx context.Context, there *run.Run, ready func(*run.Result) (note string, err error)) (*Choice, error) {
	if err := there.Lock(ctx); err != nil {
		return nil, err
	}
	result, err := there.Result()
	var note string
	if err == nil {
		note, err = ready(result)
	}
	if err != nil {
		there.Unlock()
		return nil, err
	}
	if result.Succeeded() {
		there.Unlock()
		return &Choice{Run: there, Finished: true, Note: fmt.Sprintf("run %s has finished already; nothing was trained", there.ID)}, nil
	}
	return &Choice{Run: there, Note: note, Warning: there.Stray()}, nil
}

// refuse says why spec does not stand for a run with this result, nil for none; or why the run does not go on.
func refuse(there *run.Run, spec *run.Spec, result *run.Result) error {
	switch {
	case !there.Spec.Same(spec):
		return otherIdentity(there, spec)
	case result == nil, result.Succeeded():
		return nil
	default:
		return exit.Errorf(result.Code, "run %s has failed: %s", there.ID, result.Error).
			Hint("Try once more from its last checkpoint: mtt-host resume %s\nStart another: mtt-host run PLUGIN --new", there.ID)
	}
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

// related are the runs that are the same as a spec but for their names.
type related struct {
	unfinished []*run.Run // active ones included
	failed     *run.Run   // the one that ended last, if it FAILED
	otherCode  []*run.Run // unfinished, and the same but for their code
}

// findRelated looks at all runs of the registry.
func findRelated(ctx context.Context, on backend.Backend, spec *run.Spec) (*related, error) {
	runs, broken, err := on.Registry().List()
	if err != nil {
		return nil, err
	}
	for _, unreadable := range broken {
		if err := refuseBroken(ctx, on, unreadable, spec); err != nil {
			return nil, err
		}
	}
	found := new(related)
	var ended time.Time // when the last one did
	for _, candidate := range runs {
		coded := *spec
		coded.Plugin.SHA256 = candidate.Spec.Plugin.SHA256
		if !candidate.Spec.Same(&coded) {
			continue
		}
		info, err := candidate.Info()
		if err != nil {
			return nil, err
		}
		isUnfinished := info.State != run.Succeeded && info.State != run.Failed
		switch {
		case !candidate.Spec.Same(spec):
			if isUnfinished {
				found.otherCode = append(found.otherCode, candidate)
			}
		case isUnfinished:
			found.unfinished = append(found.unfinished, candidate)
		case !info.Ended.Before(ended):
			ended, found.failed = *info.Ended, nil
			if info.State == run.Failed {
				found.failed = candidate
			}
		}
	}
	return found, nil
}

// toGoOnWith returns the one run that stands for the spec; nil for none, which takes a new one. It may have FAILED.
func (r *related) toGoOnWith() (*run.Run, error) {
	switch len(r.unfinished) {
	case 0:
		return r.failed, nil
	case 1:
		return r.unfinished[0], nil
	default:
		return nil, exit.Errorf(exit.Usage, "%d runs of this experiment, configuration, seed and code are unfinished: %s", len(r.unfinished), ids(r.unfinished)).
			Hint("Go on with one: mtt-host resume RUN\nStart another: mtt-host run PLUGIN --new")
	}
}

// refuseBroken keeps a new run from beginning at step 0 where the one to go on with may be one that cannot be read, and
// has checkpoints of this experiment.
func refuseBroken(ctx context.Context, on backend.Backend, unreadable run.Broken, spec *run.Spec) error {
	entries, err := checkpoint.Entries(ctx, on.Checkpoints(ctx, unreadable.Run))
	if err != nil {
		return err
	}
	for entry := range entries {
		if id, err := checkpoint.ParseID(entry.ID); err == nil && id.Prefix == spec.Prefix {
			return exit.Errorf(exit.BadCheckpoint, "run %s has checkpoints of this experiment and cannot be read, so it may be the one to go on with: %w", unreadable.ID, unreadable.Err).
				Hint("Bring a good copy of its run.json back, or start another run: mtt-host run PLUGIN --new")
		}
	}
	return nil
}

// idsListed is how many runs a message lists: enough to choose among, and to see that there are many.
const idsListed = 5

func ids(runs []*run.Run) string {
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.ID
	}
	return exit.Few(names, idsListed)
}
