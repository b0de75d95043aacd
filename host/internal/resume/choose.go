// Package resume chooses the checkpoint that an attempt of a run begins from, and refuses what is not of the run. Whether the
// attempt then goes on exactly is for package exactness.
package resume

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Choose returns the checkpoint that the next attempt of a run goes on from, nil for step 0, and the bad ones that it
// went past. exit.Mismatch: it is another run's; exit.BadCheckpoint: the run had made progress, and it is lost.
//
// torn says whether a checkpoint came to the volume without the events that belong to it. Only the newest one can have,
// with a commit that was torn when its attempt was killed; it was not acknowledged, and is passed over.
func Choose(ctx context.Context, r *run.Run, store checkpoint.Store, attempts []run.Attempt, torn func(*checkpoint.Manifest) (bool, error)) (*checkpoint.Manifest, []checkpoint.Skipped, error) {
	entries, err := checkpoint.Entries(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	candidates := checkpoint.Lineage(run.Claims(attempts), entries)
	var passed []checkpoint.Skipped
	for newest := range candidates {
		if newest.Manifest == nil {
			break
		}
		without, err := torn(newest.Manifest)
		if err != nil {
			return nil, nil, err
		}
		if without {
			passed = []checkpoint.Skipped{{ID: newest.ID, Err: fmt.Errorf("checkpoint %s was not acknowledged: its commit was torn, and the curves up to it are not on the volume", newest.ID)}}
			candidates = besides(newest.ID, candidates)
		}
		break
	}
	from, skipped, err := checkpoint.Select(ctx, store, candidates, func(have *checkpoint.Manifest) error { return Guard(r, have) })
	skipped = append(passed, skipped...)
	var mismatch *checkpoint.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return nil, nil, exit.Errorf(exit.Mismatch, "run %s: %w", r.ID, err).
			Hint("Start another run with what differs: mtt-host run PLUGIN --new")
	case errors.Is(err, checkpoint.ErrNoGoodCheckpoint) && nothingAcknowledged(r, attempts):
		err = nil
	case errors.Is(err, checkpoint.ErrNoGoodCheckpoint):
		return nil, nil, exit.Errorf(exit.BadCheckpoint, "run %s cannot go on: %w%s", r.ID, err, list(skipped)).
			Hint("Bring a good copy of one back into %s, or start over: mtt-host run PLUGIN --new", r.Checkpoints())
	case err == nil && from == nil:
		err = refuseLoss(r, attempts, entries)
	}
	return from, skipped, err
}

// Whole is for volumes where the events are on the disk before the checkpoint is.
func Whole(*checkpoint.Manifest) (torn bool, err error) { return false, nil }

// nothingAcknowledged says that the checkpoints of a run on Modal, of which none is good, are what was left of commits of which none was
// acknowledged: a machine that is taken away may leave a manifest without its blobs there, which no disk here does. Nothing
// is lost with them, and nobody may be there to be asked.
func nothingAcknowledged(r *run.Run, attempts []run.Attempt) bool {
	return r.Spec.Options.Modal != nil && !slices.ContainsFunc(attempts, func(a run.Attempt) bool {
		return a.Saved != nil || a.Claim.ResumedFrom != ""
	})
}

func besides(id string, entries iter.Seq[checkpoint.Entry]) iter.Seq[checkpoint.Entry] {
	return func(yield func(checkpoint.Entry) bool) {
		for e := range entries {
			if e.ID != id && !yield(e) {
				return
			}
		}
	}
}

// refuseLoss keeps a run that had made progress from beginning at step 0 again: that its checkpoints are gone is for a
// person to know.
func refuseLoss(r *run.Run, attempts []run.Attempt, entries iter.Seq[checkpoint.Entry]) error {
	var lost string
	if n := len(attempts); n > 0 { // of those before, only what it resumed from is in the run's history
		last := attempts[n-1]
		if last.Saved != nil {
			lost = fmt.Sprintf("checkpoint %s, which attempt %d had saved, is gone, and all after it", last.Saved.Checkpoint, last.Number)
		} else if last.Claim.ResumedFrom != "" {
			lost = fmt.Sprintf("checkpoint %s, from which attempt %d resumed, is gone", last.Claim.ResumedFrom, last.Number)
		}
	}
	for entry := range entries {
		if entry.Err != nil {
			return entry.Err
		}
		if !slices.ContainsFunc(attempts, func(a run.Attempt) bool { return a.Number == entry.Manifest.Attempt }) {
			lost = fmt.Sprintf("checkpoint %s was saved by attempt %d, of which there is no record", entry.ID, entry.Manifest.Attempt)
		}
	}
	if lost == "" {
		return nil
	}
	return exit.Errorf(exit.BadCheckpoint, "run %s cannot go on: %s", r.ID, lost).
		Hint("Bring back what is missing in %s or %s, or start over: mtt-host run PLUGIN --new", r.Checkpoints(), r.Dir())
}

func list(skipped []checkpoint.Skipped) (lines string) {
	for _, s := range skipped {
		lines += fmt.Sprintf("\n  %s: %v", s.ID, s.Err)
	}
	return lines
}
