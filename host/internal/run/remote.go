package run

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// Remote is a volume elsewhere, of whose records the registry's root is a mirror. Paths are the volume's. Calls try again
// by themselves; an error is final for now.
type Remote interface {
	// Put writes a file durably, there and then in the mirror; with exclusive, one that is there with another content is
	// fs.ErrExist.
	Put(ctx context.Context, path string, raw []byte, exclusive bool) error
	// Remove removes a file, there and in the mirror; one that is not there is no error.
	Remove(ctx context.Context, path string) error
	// Refresh brings the mirror's records of a run, or of all for "", up to date.
	Refresh(ctx context.Context, id string) error
	// Live says whether a run lives, and whether somebody sees to it that it goes on.
	Live(ctx context.Context, id string) (live, supervised bool, err error)
	// Asked is called when somebody was asked to stop a run.
	Asked(ctx context.Context, id string, request StopRequest) error
	// Prints returns what hands on what the machine of an attempt prints, the events that it logs, from the beginning, until
	// that has ended and all is read, or ctx ends; nil where no machine is known.
	Prints(attempt Attempt) func(ctx context.Context, each func(data string))
	// Complete adds what only the backend knows of a run: where it lives, and for one whose supervisor left no word, how
	// that has ended, which it asks for.
	Complete(ctx context.Context, r *Run, info *Info, attempts []Attempt) error
	// Passes says whether an error is one that passes, such as that the volume cannot be reached now: the same call may
	// succeed later.
	Passes(err error) bool
}

// Waker is a Remote that can tell when something of a run has changed, so that a watcher need not ask all the time.
type Waker interface {
	// Wake returns a channel that gets something when it is time to look at a run, until ctx ends.
	Wake(ctx context.Context, id string) <-chan struct{}
}

// Glancer is a Remote that can bring the small records of a run up to date without what its attempts write all the time.
type Glancer interface {
	Glance(ctx context.Context, id string) error
}

// Glance is Refresh for who looks often for what changes rarely, such as a request to stop: logs, and how long an attempt has
// run, may be older than the rest.
func (r *Run) Glance(ctx context.Context) error {
	if glancer, ok := r.Remote().(Glancer); ok {
		return glancer.Glance(ctx, r.ID)
	}
	return r.Refresh(ctx)
}

// OpenRemote returns the registry of a remote volume, which people know by its name. ctx ends whatever its runs ask the volume for.
func OpenRemote(ctx context.Context, name, mirror string, volume Remote) *Registry {
	return &Registry{name: name, root: mirror, records: remote{ctx, mirror, volume}}
}

// remote is records on a volume elsewhere.
type remote struct {
	ctx    context.Context
	root   string
	volume Remote
}

func (r remote) create(path string, raw []byte) error { return r.put(path, raw, true) }

func (r remote) replace(path string, raw []byte) error { return r.put(path, raw, false) }

func (r remote) put(path string, raw []byte, exclusive bool) error {
	there, err := r.path(path)
	if err != nil {
		return err
	}
	return r.volume.Put(r.ctx, there, raw, exclusive)
}

func (r remote) remove(path string) error {
	there, err := r.path(path)
	if err != nil {
		return err
	}
	return r.volume.Remove(r.ctx, there)
}

// move is not atomic: killed in the middle, it leaves both names, and a repetition goes on.
func (r remote) move(from, to string) error {
	raw, err := regular.ReadFile(from)
	if err != nil {
		return err
	}
	if err := r.put(to, raw, false); err != nil {
		return err
	}
	return r.remove(from)
}

// makeDir makes nothing: a directory comes with the first file in it.
func (remote) makeDir(string) error { return nil }

func (r remote) path(path string) (string, error) {
	relative, err := filepath.Rel(r.root, path)
	return filepath.ToSlash(relative), err
}

// acquire takes no lock: who may live a run is decided by who claims its next supervisor, and nothing is written before.
func (r remote) acquire(ctx context.Context, run *Run) error {
	err := r.refresh(ctx, run.ID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	supervisors, err := run.Supervisors()
	if err != nil {
		return err
	}
	// In this order: one that is claimed after this has a number that is taken.
	_, supervised, err := r.volume.Live(ctx, run.ID)
	if err != nil {
		return err
	}
	if n := len(supervisors); n > 0 {
		last := supervisors[n-1]
		run.supervisors = last.Number
		supervised = supervised || last.starting()
	}
	if supervised {
		return run.stillRunning(nil)
	}
	return nil
}

// endIsLast: files may be fetched in any order.
func (remote) endIsLast() bool { return false }

func (r remote) live(run *Run) (bool, error) {
	live, _, err := r.volume.Live(r.ctx, run.ID)
	return live, err
}

func (r remote) asked(run *Run, request StopRequest) error {
	return r.volume.Asked(r.ctx, run.ID, request)
}

func (r remote) refresh(ctx context.Context, id string) error { return r.volume.Refresh(ctx, id) }

// Remote is the remote volume that the run's records are on; nil where they are on this machine.
func (r *Run) Remote() Remote {
	if there, ok := r.registry.records.(remote); ok {
		return there.volume
	}
	return nil
}

// Through returns the run with another way to its remote volume, for calls that fail with the cause of ctx when that ends.
func (r *Run) Through(ctx context.Context, volume Remote) *Run {
	registry := *r.registry
	registry.records = remote{ctx, registry.root, volume}
	through := *r
	through.registry = &registry
	return &through
}

func (r remote) complete(run *Run, info *Info, attempts []Attempt) error {
	return r.volume.Complete(r.ctx, run, info, attempts)
}
