package checkpoint

import (
	"context"
	"fmt"
	"slices"
)

// Policy says which checkpoints are kept. It has no useful zero value.
type Policy struct {
	// KeepLast is the number of newest checkpoints that are kept, at least 1.
	KeepLast int
}

// Prune removes what the policy does not keep from lineage, which comes newest first, as from Lineage. The attempt
// that calls it may remove its own checkpoints, and those it descends from once it has a good one of its own:
// before anything is removed, its newest is read back, and if that fails nothing is. Final and unreadable checkpoints
// are never removed.
//
// It returns the ids that were removed, also with an error.
func Prune(ctx context.Context, s Store, p Policy, attempt int, lineage []Entry) (removed []string, err error) {
	if p.KeepLast < 1 {
		return nil, errKeepNone(p)
	}
	own := slices.IndexFunc(lineage, func(e Entry) bool { return e.Manifest != nil && e.Manifest.Attempt == attempt })
	if own < 0 || len(p.surplus(lineage)) == 0 {
		return nil, nil
	}
	newest := lineage[own].ID
	if _, err := s.Verify(ctx, newest); err != nil {
		return nil, fmt.Errorf("no checkpoint was removed, because the newest could not be read back: %w", err)
	}
	return p.remove(ctx, s, lineage, newest)
}

// PruneBefore is Prune for an attempt that has no checkpoint yet: good is the one that it resumes from, which was read back.
// So a policy that keeps fewer than the one before makes room before anything is written.
func PruneBefore(ctx context.Context, s Store, p Policy, good string, lineage []Entry) (removed []string, err error) {
	if p.KeepLast < 1 {
		return nil, errKeepNone(p)
	}
	return p.remove(ctx, s, lineage, good)
}

func errKeepNone(p Policy) error {
	return fmt.Errorf("a policy that keeps the last %d checkpoints would lose the run: keep at least 1", p.KeepLast)
}

// remove removes what the policy does not keep, the oldest first, and never good.
func (p Policy) remove(ctx context.Context, s Store, lineage []Entry, good string) (removed []string, err error) {
	for _, e := range slices.Backward(p.surplus(lineage)) {
		if e.ID == good {
			continue
		}
		if err := s.Remove(ctx, e.ID); err != nil {
			return removed, fmt.Errorf("remove old checkpoint: %w", err)
		}
		removed = append(removed, e.ID)
	}
	return removed, nil
}

// surplus returns what the policy does not keep, newest first.
func (p Policy) surplus(lineage []Entry) []Entry {
	var surplus []Entry
	kept := 0
	for _, e := range lineage {
		switch {
		case e.Manifest == nil:
		case kept < p.KeepLast:
			kept++
		case e.Manifest.Reason != Final:
			surplus = append(surplus, e)
		}
	}
	return surplus
}
