package checkpoint_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/checkpoint/storetest"
)

// history is a store with checkpoints at the steps 0, 1, 2 and so on.
type history struct {
	*dirstore.Store
	dir string
	ids []string
}

// newHistory writes a checkpoint for each header; their steps are set here.
func newHistory(t *testing.T, headers ...checkpoint.Header) *history {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkpoints", "run")
	h := &history{Store: dirstore.New(dir, dirstore.Options{}), dir: dir}
	for step, header := range headers {
		header.Step = uint64(step)
		m, err := storetest.Save(t.Context(), h, header, map[string][]byte{"x": {byte(step)}})
		if err != nil {
			t.Fatal(err)
		}
		h.ids = append(h.ids, m.ID)
	}
	return h
}

// written is a header of an attempt.
func written(attempt int, reason checkpoint.Reason) checkpoint.Header {
	h := storetest.Header(0)
	h.Attempt, h.Reason = attempt, reason
	return h
}

func (h *history) damage(t *testing.T, step int, file string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, h.ids[step], file), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (h *history) list(t *testing.T) []checkpoint.Entry {
	t.Helper()
	entries, err := checkpoint.Entries(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(entries)
}

func (h *history) choose(t *testing.T, want checkpoint.Identity) (*checkpoint.Manifest, []checkpoint.Skipped, error) {
	t.Helper()
	return checkpoint.Select(t.Context(), h, slices.Values(h.list(t)), guard(want))
}

var identity = storetest.Header(0).Identity

func TestSelectTakesTheNewestGoodCheckpointAndReportsTheBadOnes(t *testing.T) {
	periodic := written(1, checkpoint.Periodic)
	h := newHistory(t, periodic, periodic, periodic, periodic)
	h.damage(t, 3, "x")
	h.damage(t, 2, checkpoint.ManifestName)
	best, skipped, err := h.choose(t, identity)
	if err != nil || best.ID != h.ids[1] {
		t.Fatalf("selected %v, %v", best, err)
	}
	if len(skipped) != 2 || skipped[0].ID != h.ids[3] || skipped[1].ID != h.ids[2] {
		t.Errorf("skipped %v", skipped)
	}
	for _, s := range skipped {
		if _, ok := errors.AsType[*checkpoint.CorruptError](s.Err); !ok {
			t.Errorf("skipped because of %v", s.Err)
		}
	}
	if left := h.list(t); len(left) != 4 {
		t.Errorf("%d of 4 checkpoints were left in place", len(left))
	}
}

func TestSelectTellsNoCheckpointFromNoGoodOne(t *testing.T) {
	h := newHistory(t)
	if best, skipped, err := h.choose(t, identity); best != nil || skipped != nil || err != nil {
		t.Errorf("none at all: %v, %v, %v", best, skipped, err)
	}
	h = newHistory(t, written(1, checkpoint.Periodic), written(1, checkpoint.Periodic))
	h.damage(t, 0, "x")
	h.damage(t, 1, checkpoint.ManifestName)
	if best, skipped, err := h.choose(t, identity); best != nil || len(skipped) != 2 || !errors.Is(err, checkpoint.ErrNoGoodCheckpoint) {
		t.Errorf("none good: %v, %v, %v", best, skipped, err)
	}
}

func TestSelectNeverFallsBackPastAMismatch(t *testing.T) {
	other := written(1, checkpoint.Periodic)
	other.Seed = 7
	h := newHistory(t, written(1, checkpoint.Periodic), other, written(1, checkpoint.Periodic))
	h.damage(t, 2, "x")
	best, skipped, err := h.choose(t, identity)
	mismatch, ok := errors.AsType[*checkpoint.MismatchError](err)
	if !ok || mismatch.ID != h.ids[1] || best != nil || len(skipped) != 1 {
		t.Errorf("selected %v, skipped %v, %v", best, skipped, err)
	}
}

func TestSelectNeverFallsBackPastStorageThatFails(t *testing.T) {
	h := newHistory(t, written(1, checkpoint.Periodic), written(1, checkpoint.Periodic))
	failing := errors.New("the network is down")
	best, _, err := checkpoint.Select(t.Context(), unverifiable{h.Store, failing}, slices.Values(h.list(t)), guard(identity))
	if best != nil || !errors.Is(err, failing) {
		t.Errorf("selected %v, %v", best, err)
	}
}

// unverifiable is a store that cannot read anything back.
type unverifiable struct {
	checkpoint.Store
	err error
}

func (u unverifiable) Verify(context.Context, string) (*checkpoint.Manifest, error) {
	return nil, u.err
}

func guard(want checkpoint.Identity) func(*checkpoint.Manifest) error {
	return func(have *checkpoint.Manifest) error { return checkpoint.Guard(want, have) }
}
