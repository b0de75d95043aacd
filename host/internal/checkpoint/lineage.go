package checkpoint

import "iter"

// Claim is how an attempt began. Attempts are claimed one after the other, each when the end of the one before is
// certain.
type Claim struct {
	Attempt int
	// ResumedFrom is the checkpoint that the attempt resumed from, "" if it started at step 0.
	ResumedFrom string
	// ResumedAttempt wrote ResumedFrom. It is kept in the claim so that the history can be followed even where a
	// manifest is unreadable.
	ResumedAttempt int
}

// Lineage returns the checkpoints of a run's history, newest first: those of the newest attempt, then the one that it
// resumed from with the earlier ones of the same attempt, and so on down that attempt's own claim.
//
// This is the fence against attempts that were thought dead: what one of them wrote after another had been claimed
// is no part of the history, and is never resumed from or pruned. A checkpoint whose manifest cannot be read is of
// an unknown attempt. It is returned in its place, so that the caller reports it instead of overlooking it.
//
// Entries come newest first, and are looked at as the loop comes to them.
func Lineage(claims []Claim, entries iter.Seq[Entry]) iter.Seq[Entry] {
	newestOf := newestByAttempt(claims)
	return func(yield func(Entry) bool) {
		for e := range entries {
			if e.Manifest != nil {
				newest, ok := newestOf[e.Manifest.Attempt]
				if !ok || newest != "" && CompareIDs(e.ID, newest) > 0 {
					continue
				}
			}
			if !yield(e) {
				return
			}
		}
	}
}

// newestByAttempt maps each attempt of the history to the newest of its checkpoints that counts, "" for no bound.
func newestByAttempt(claims []Claim) map[int]string {
	byAttempt := make(map[int]Claim, len(claims))
	last := 0
	for _, c := range claims {
		byAttempt[c.Attempt] = c
		last = max(last, c.Attempt)
	}
	newest := make(map[int]string)
	for c, ok := byAttempt[last]; ok; c, ok = byAttempt[c.ResumedAttempt] {
		if c.Attempt == last {
			newest[c.Attempt] = ""
		}
		if c.ResumedFrom == "" || c.ResumedAttempt >= c.Attempt {
			break
		}
		newest[c.ResumedAttempt] = c.ResumedFrom
	}
	return newest
}
