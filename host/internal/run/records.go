package run

import (
	"context"
	"encoding/json"
	"fmt"
)

// records is how the small files of runs are written, and who may. They are read as files below the registry's root,
// wherever the volume is. Each is written whole or not at all, and is durable when the call returns.
type records interface {
	// create writes a file that must not be there: else it is fs.ErrExist, and nothing is written.
	create(path string, raw []byte) error
	// replace writes a file in the place of the one that may be there.
	replace(path string, raw []byte) error
	// remove removes a file; one that is not there is no error.
	remove(path string) error
	// move gives a file another name.
	move(from, to string) error
	// makeDir makes a directory and its parents.
	makeDir(path string) error

	// acquire makes the caller the only one who may write. exit.StillRunning: somebody else is.
	acquire(context.Context, *Run) error
	// live says whether somebody lives the run.
	live(*Run) (bool, error)
	// endIsLast says whether an attempt whose end is read has no record that is read only later.
	endIsLast() bool
	// asked is called when somebody was asked to stop the run.
	asked(*Run, StopRequest) error
	// refresh brings what is read of a run, or of all for "", up to date.
	refresh(ctx context.Context, id string) error
	// complete adds what the backend knows of a run.
	complete(*Run, *Info, []Attempt) error
}

// Refresh brings what is read of a run, or of all for "", up to date. Where the volume is a directory here, it always is.
func (r *Registry) Refresh(ctx context.Context, id string) error { return r.records.refresh(ctx, id) }

// Refresh is the registry's, for this run.
func (r *Run) Refresh(ctx context.Context) error { return r.registry.Refresh(ctx, r.ID) }

func (r *Registry) create(path string, value any) error {
	return write(path, value, r.records.create)
}

func (r *Registry) replace(path string, value any) error {
	return write(path, value, r.records.replace)
}

func write(path string, value any, as func(string, []byte) error) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return as(path, append(raw, '\n'))
}
