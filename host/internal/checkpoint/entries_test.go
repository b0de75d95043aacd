package checkpoint_test

import (
	"context"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// counted is a store that counts the manifests that are read.
type counted struct {
	checkpoint.Store
	manifests int
}

func (c *counted) Manifest(ctx context.Context, id string) (*checkpoint.Manifest, error) {
	c.manifests++
	return c.Store.Manifest(ctx, id)
}

func TestHeadsReadEachManifestOnce(t *testing.T) {
	p, final := written(2, checkpoint.Periodic), written(3, checkpoint.Final)
	h := newHistory(t, p, p, p, final)
	store := &counted{Store: h}
	var heads checkpoint.Heads
	list := func() []checkpoint.Entry {
		t.Helper()
		entries, err := heads.Entries(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Collect(entries)
	}
	for range 3 {
		if found := list(); len(found) != 4 || found[0].Manifest.Reason != checkpoint.Final || found[0].Manifest.Attempt != 3 || found[1].Manifest.Attempt != 2 {
			t.Fatalf("found %+v", found)
		}
	}
	if store.manifests != 4 {
		t.Errorf("%d manifests were read of 4", store.manifests)
	}
	if err := h.Remove(t.Context(), h.ids[1]); err != nil {
		t.Fatal(err)
	}
	if found := list(); len(found) != 3 || store.manifests != 4 {
		t.Errorf("after a removal, %d are found, and %d were read", len(found), store.manifests)
	}
	h.damage(t, 0, checkpoint.ManifestName) // which is known already, and never read again
	if found := list(); len(found) != 3 {
		t.Errorf("%d are found", len(found))
	}
}

// A run with many checkpoints resumes as fast as one with few: only the newest is looked at.
func TestSelectReadsNoManifestBehindTheOneThatItTakes(t *testing.T) {
	p := written(1, checkpoint.Periodic)
	h := newHistory(t, p, p, p, p, p)
	h.damage(t, 4, "x")
	store := &counted{Store: h}
	entries, err := checkpoint.Entries(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	best, _, err := checkpoint.Select(t.Context(), store, checkpoint.Lineage([]checkpoint.Claim{{Attempt: 1}}, entries), guard(identity))
	if err != nil || best.ID != h.ids[3] {
		t.Fatalf("selected %v, %v", best, err)
	}
	if store.manifests != 2 {
		t.Errorf("%d manifests were read of 5, want those of the bad one and of the one that was taken", store.manifests)
	}
}
