package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// ErrNoGoodCheckpoint says that a run has checkpoints and none of them can be loaded. Starting it again from step 0 is
// for a person to decide.
var ErrNoGoodCheckpoint = errors.New("no good checkpoint")

// Skipped is a checkpoint that was found corrupt and left in place.
type Skipped struct {
	ID  string
	Err error
}

// Select returns the newest of the candidates whose every hash is right, and the corrupt ones that it went past on the
// way. Candidates come newest first, as from Lineage; guard refuses a manifest that must not be loaded, as Guard does.
//
// It falls back past corruption only. A checkpoint of another identity (*MismatchError), one of a newer mtt-host
// (*VersionError) and storage that fails end it at once. If all candidates are corrupt the error is
// ErrNoGoodCheckpoint; if there are none, it returns nil without an error.
func Select(ctx context.Context, s Store, candidates iter.Seq[Entry], guard func(*Manifest) error) (best *Manifest, skipped []Skipped, err error) {
	for c := range candidates {
		m, err := load(ctx, s, c, guard)
		if err == nil {
			return m, skipped, nil
		}
		if _, corrupt := errors.AsType[*CorruptError](err); !corrupt {
			return nil, skipped, err
		}
		skipped = append(skipped, Skipped{ID: c.ID, Err: err})
	}
	if len(skipped) > 0 {
		return nil, skipped, fmt.Errorf("%w: all %d are corrupt, the newest is %s", ErrNoGoodCheckpoint, len(skipped), skipped[0].ID)
	}
	return nil, nil, nil
}

func load(ctx context.Context, s Store, c Entry, guard func(*Manifest) error) (*Manifest, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	if err := guard(c.Manifest); err != nil { // Before gigabytes are read for nothing.
		return nil, err
	}
	return s.Verify(ctx, c.ID)
}
