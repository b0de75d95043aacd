package checkpoint

import (
	"errors"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"
)

// at returns the id of the n-th checkpoint ever written.
func at(n byte) string { return ID{Prefix: "digits", Step: 100, ULID: ulid.ULID{15: n}}.String() }

// by returns the n-th checkpoint, written by an attempt; 0 for one whose manifest is unreadable.
func by(attempt int, n byte) Entry {
	if attempt == 0 {
		return Entry{ID: at(n), Err: errors.New("unreadable")}
	}
	m := &Manifest{ID: at(n)}
	m.Attempt, m.Reason = attempt, Periodic
	return Entry{ID: at(n), Manifest: m}
}

func TestLineageHoldsTheHistoryOfTheNewestAttemptOnly(t *testing.T) {
	for name, test := range map[string]struct {
		claims  []Claim
		entries []Entry
		want    []byte
	}{
		"no claims":                             {nil, []Entry{by(1, 1), by(0, 2)}, []byte{2}},
		"one attempt":                           {[]Claim{{Attempt: 1}}, []Entry{by(1, 1), by(1, 2)}, []byte{2, 1}},
		"an attempt without a checkpoint yet":   {[]Claim{{Attempt: 1}, {2, at(2), 1}}, []Entry{by(1, 1), by(1, 2)}, []byte{2, 1}},
		"a zombie's late commit":                {[]Claim{{Attempt: 1}, {2, at(2), 1}}, []Entry{by(1, 1), by(1, 2), by(1, 3), by(2, 4), by(1, 5)}, []byte{4, 2, 1}},
		"what was skipped when it resumed":      {[]Claim{{Attempt: 1}, {2, at(1), 1}}, []Entry{by(1, 1), by(1, 2), by(2, 3)}, []byte{3, 1}},
		"an attempt that started over":          {[]Claim{{Attempt: 1}, {Attempt: 2}}, []Entry{by(1, 1), by(2, 2)}, []byte{2}},
		"an attempt that was skipped":           {[]Claim{{Attempt: 1}, {2, at(1), 1}, {3, at(1), 1}}, []Entry{by(1, 1), by(2, 2), by(3, 3)}, []byte{3, 1}},
		"through every claim":                   {[]Claim{{Attempt: 1}, {2, at(2), 1}, {3, at(4), 2}}, []Entry{by(1, 1), by(1, 2), by(1, 3), by(2, 4), by(2, 5), by(3, 6)}, []byte{6, 4, 2, 1}},
		"claims in any order":                   {[]Claim{{2, at(2), 1}, {Attempt: 1}}, []Entry{by(2, 3), by(1, 1), by(1, 2)}, []byte{3, 2, 1}},
		"an unreadable one cuts nothing":        {[]Claim{{Attempt: 1}, {2, at(2), 1}}, []Entry{by(1, 1), by(0, 2), by(2, 3), by(0, 4)}, []byte{4, 3, 2, 1}},
		"the claimed one was pruned":            {[]Claim{{Attempt: 1}, {2, at(2), 1}}, []Entry{by(1, 1), by(1, 3)}, []byte{1}},
		"a claim was lost":                      {[]Claim{{3, at(2), 2}}, []Entry{by(1, 1), by(2, 2), by(3, 3)}, []byte{3, 2}},
		"an attempt that is its own ancestor":   {[]Claim{{1, at(1), 1}}, []Entry{by(1, 1), by(1, 2)}, []byte{2, 1}},
		"attempts that are ancestors in a ring": {[]Claim{{1, at(2), 2}, {2, at(1), 1}}, []Entry{by(1, 1), by(2, 2), by(1, 3)}, []byte{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var have, want []string
			slices.SortFunc(test.entries, func(a, b Entry) int { return CompareIDs(b.ID, a.ID) })
			for e := range Lineage(test.claims, slices.Values(test.entries)) {
				have = append(have, e.ID)
			}
			for _, n := range test.want {
				want = append(want, at(n))
			}
			if !slices.Equal(have, want) {
				t.Errorf("have %v\nwant %v", have, want)
			}
		})
	}
}
