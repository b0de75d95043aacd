package checkpoint_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// prune prunes as the given attempt and returns the steps that are left, oldest first.
func (h *history) prune(t *testing.T, keep, attempt int) (left []uint64, err error) {
	t.Helper()
	before := h.list(t)
	removed, err := checkpoint.Prune(t.Context(), h, checkpoint.Policy{KeepLast: keep}, attempt, before)
	after := h.list(t)
	for _, e := range slices.Backward(after) {
		left = append(left, e.Step)
		if slices.Contains(removed, e.ID) {
			t.Errorf("%s is there, and was said to be removed", e.ID)
		}
	}
	if len(before) != len(after)+len(removed) {
		t.Errorf("of %d there are %d left after removing %v", len(before), len(after), removed)
	}
	return left, err
}

func TestPruneKeepsTheLast(t *testing.T) {
	p := written(1, checkpoint.Periodic)
	for keep, want := range map[int][]uint64{1: {3}, 2: {2, 3}, 3: {1, 2, 3}, 4: {0, 1, 2, 3}, 9: {0, 1, 2, 3}} {
		if left, err := newHistory(t, p, p, p, p).prune(t, keep, 1); err != nil || !slices.Equal(left, want) {
			t.Errorf("keep %d: left %v, %v", keep, left, err)
		}
	}
}

func TestPruneNeverRemovesFinalOrUnreadableCheckpoints(t *testing.T) {
	p, final := written(1, checkpoint.Periodic), written(1, checkpoint.Final)
	h := newHistory(t, p, final, p, p, p, p)
	h.damage(t, 2, checkpoint.ManifestName)
	h.damage(t, 5, checkpoint.ManifestName) // It counts for nothing: the last one is at step 4.
	if left, err := h.prune(t, 1, 1); err != nil || !slices.Equal(left, []uint64{1, 2, 4, 5}) {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestPruneSparesAncestorsUntilTheAttemptHasAGoodCheckpoint(t *testing.T) {
	first, second := written(1, checkpoint.Periodic), written(2, checkpoint.Periodic)
	if left, err := newHistory(t, first, first, first).prune(t, 1, 2); err != nil || len(left) != 3 {
		t.Errorf("before its first checkpoint: left %v, %v", left, err)
	}
	if left, err := newHistory(t, first, first, second).prune(t, 1, 2); err != nil || !slices.Equal(left, []uint64{2}) {
		t.Errorf("after it: left %v, %v", left, err)
	}
}

func TestPruneRemovesNothingIfTheNewestCannotBeReadBack(t *testing.T) {
	first, second := written(1, checkpoint.Periodic), written(2, checkpoint.Periodic)
	h := newHistory(t, first, first, second, second)
	h.damage(t, 3, "x")
	left, err := h.prune(t, 1, 2)
	if _, corrupt := errors.AsType[*checkpoint.CorruptError](err); !corrupt || len(left) != 4 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestPruneRefusesToKeepNone(t *testing.T) {
	p := written(1, checkpoint.Periodic)
	if left, err := newHistory(t, p, p).prune(t, 0, 1); err == nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
}
