package worker

import (
	"context"
	"slices"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// retention is what a run keeps of its checkpoints.
type retention struct {
	store  checkpoint.Store
	policy checkpoint.Policy
	heads  checkpoint.Heads
}

// lineage returns the checkpoints of a run's history as Prune wants them; none if there are too few for any to go. So a
// save looks into no manifest but the newest one, unless it is the first after which any may go.
func (r *retention) lineage(ctx context.Context, claims []checkpoint.Claim) ([]checkpoint.Entry, error) {
	ids, err := r.store.List(ctx)
	if err != nil || len(ids) <= r.policy.KeepLast {
		return nil, err
	}
	entries, err := r.heads.Entries(ctx, r.store)
	if err != nil {
		return nil, err
	}
	return slices.Collect(checkpoint.Lineage(claims, entries)), nil
}
