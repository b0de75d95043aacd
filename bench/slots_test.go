package main

import "testing"

func TestRateCountsOnlyWhatBothTrained(t *testing.T) {
	steps := func(from float64, count int, each float64) (t trial) {
		for i := range count {
			t.stamps = append(t.stamps, stamp{int64(i + 1), from + float64(i)*each})
		}
		return t
	}
	slow, fast := steps(0, 200, 0.5), steps(10, 200, 0.25) // step 100 at 49.5 and 34.75, the last at 99.5 and 59.75
	both, err := overlap([2]trial{slow, fast})
	if err != nil || both != (span{49.5, 59.75}) {
		t.Fatalf("both trained in %v, %v", both, err)
	}
	slots := []span{{40, 45}, {50, 52}, {54, 56}, {58, 61}}
	for name, test := range map[string]struct {
		trial trial
		want  float64
	}{"slow": {slow, 2}, "fast": {fast, 4}} {
		if got, err := test.trial.rateIn(slots, both); err != nil || got != test.want {
			t.Errorf("%s: %g steps/s, %v; want %g", name, got, err, test.want)
		}
	}
	if _, err := slow.rateIn(nil, both); err == nil {
		t.Error("a rate without any time")
	}
}
