package gomlx

import (
	"slices"
	"testing"
)

// TestOrderNeverChanges holds the order to values computed apart from this code, from the formula in Order's comment:
// another order would make every resumed run another run.
func TestOrderNeverChanges(t *testing.T) {
	for _, golden := range []struct {
		order Order
		step  int64
		want  []int
	}{
		{Order{Seed: 0, Size: 10, Batch: 10}, 1, []int{4, 8, 1, 5, 0, 7, 3, 9, 6, 2}},
		{Order{Seed: 0, Size: 10, Batch: 10}, 2, []int{6, 4, 5, 9, 7, 3, 2, 8, 0, 1}},
		{Order{Seed: 1<<53 - 1, Size: 10, Batch: 10}, 8, []int{4, 0, 7, 6, 8, 3, 2, 1, 9, 5}},
		{Order{Seed: 5, Size: 23, Batch: 4}, 1, []int{6, 13, 12, 20}},
		{Order{Seed: 5, Size: 23, Batch: 4}, 6, []int{13, 4, 19, 17}},
	} {
		if got := golden.order.At(golden.step); !slices.Equal(got, golden.want) {
			t.Errorf("%+v: step %d is %v, and must stay %v", golden.order, golden.step, got, golden.want)
		}
	}
}

func TestOrderIsAFunctionOfSeedAndStepAlone(t *testing.T) {
	const steps = 30
	forwards, backwards := Order{Seed: 5, Size: 23, Batch: 4}, Order{Seed: 5, Size: 23, Batch: 4}
	var want [][]int
	for step := int64(1); step <= steps; step++ {
		want = append(want, slices.Clone(forwards.At(step)))
	}
	for step := int64(steps); step >= 1; step-- {
		if got := backwards.At(step); !slices.Equal(got, want[step-1]) {
			t.Errorf("step %d is %v when asked for first, and %v when asked for last", step, got, want[step-1])
		}
	}
	other := Order{Seed: 6, Size: 23, Batch: 4}
	if slices.Equal(other.At(1), want[0]) {
		t.Error("another seed gives the same order")
	}
}

func TestEpochHasEachExampleAtMostOnce(t *testing.T) {
	for _, batch := range []int{1, 4, 22, 23} {
		order := Order{Seed: 5, Size: 23, Batch: batch}
		perEpoch := order.StepsPerEpoch()
		if want := int64(23 / batch); perEpoch != want {
			t.Fatalf("batches of %d: %d steps in an epoch, want %d", batch, perEpoch, want)
		}
		for epoch := range int64(5) {
			seen := make(map[int]bool)
			for step := epoch*perEpoch + 1; step <= (epoch+1)*perEpoch; step++ {
				for _, i := range order.At(step) {
					if i < 0 || i >= order.Size || seen[i] {
						t.Errorf("batches of %d: epoch %d has example %d twice, or it does not exist", batch, epoch, i)
					}
					seen[i] = true
				}
				if ends := step == (epoch+1)*perEpoch; order.EpochEnds(step) != ends {
					t.Errorf("batches of %d: EpochEnds(%d) is %v", batch, step, !ends)
				}
			}
			if len(seen) != int(perEpoch)*batch {
				t.Errorf("batches of %d: epoch %d has %d examples", batch, epoch, len(seen))
			}
		}
	}
}
