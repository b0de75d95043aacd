package sdk

import (
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

var rarely = &experimentv1.Cadence{Steps: 1 << 40, Interval: durationpb.New(time.Hour)}

// A loop asks these at each of millions of steps.
func TestAskingMakesNoGarbage(t *testing.T) {
	never := newCadence(rarely, 0)
	run := &Run{stop: new(atomic.Bool), ctx: t.Context(), saveNext: never, Metrics: newMetrics(t.Context(), new(slowHost))}
	defer run.Metrics.close()
	step := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		step++
		run.Progress(step, 0)
		if run.ShouldSave(step) || run.Stopped() {
			t.Fatal("a save is due")
		}
	}); n >= 1 {
		t.Errorf("%g allocations a step", n)
	}
}

func BenchmarkShouldSave(b *testing.B) {
	never := newCadence(rarely, 0)
	run := &Run{stop: new(atomic.Bool), ctx: b.Context(), saveNext: never}
	for step := range int64(b.N) {
		if run.ShouldSave(step) {
			b.Fatal("a save is due")
		}
	}
}
