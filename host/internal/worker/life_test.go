package worker

import (
	"testing"
	"time"
)

func TestSilenceIsTheTimeSinceTheLastSignOfLife(t *testing.T) {
	life := new(life)
	silence := silence{life: life}
	expect := func(want ...time.Duration) {
		t.Helper()
		for _, want := range want {
			if got := silence.tick(time.Second); got != want*time.Second {
				t.Errorf("quiet for %s, want %d s", got, want)
			}
		}
	}
	expect(1, 2, 3)
	life.sign()
	expect(0, 1, 2)
	release := life.hold()
	expect(0, 0, 0)
	release()
	expect(1, 2)
	life.hold()() // between two ticks
	expect(0, 1)
}
