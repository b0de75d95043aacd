package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exactness"
)

// Inexact says why mtt does not claim that the run, as it stands after these attempts, equals one that was left alone; ""
// if it does claim that.
func (s *Spec) Inexact(attempts []Attempt) string {
	var reasons []string
	if !s.ExactResume {
		reasons = append(reasons, "the experiment does not claim that a resume is exact")
	}
	var before *Attempt
	for _, attempt := range history(attempts) {
		if reason := inexact(before, &attempt); reason != "" {
			reasons = append(reasons, reason)
		}
		before = &attempt
	}
	return first(reasons, reasonsMost)
}

// history is the attempts that the weights and curves come from, the oldest first: the newest one, the one that wrote the
// checkpoint it resumed from, and so on.
func history(attempts []Attempt) (found []Attempt) {
	for n := len(attempts); n > 0; {
		attempt := attempts[n-1]
		found = append(found, attempt)
		if attempt.Claim.ResumedFrom == "" {
			break
		}
		n = 1 + slices.IndexFunc(attempts[:n-1], func(earlier Attempt) bool { return earlier.Number == attempt.Claim.ResumedAttempt })
	}
	slices.Reverse(found)
	return found
}

// inexact says why an attempt may not be the exact continuation of the one before, nil for none; "" if it is.
func inexact(before, attempt *Attempt) string {
	var reasons []string
	switch {
	case attempt.Start == nil: // the newest one, which has not trained
		return ""
	case !attempt.Start.Deterministic:
		reasons = append(reasons, fmt.Sprintf("on %s without --exact, sums come in any order", attempt.Start.Device))
	}
	if lost := attempt.Start.Exactness.CurvesLost; lost != "" {
		reasons = append(reasons, "part of the curves is lost: "+lost)
	}
	switch {
	case before == nil && attempt.Claim.ResumedFrom != "":
		reasons = append(reasons, "there is no record of the attempt that it resumed from")
	case before == nil:
	case before.Start == nil:
		reasons = append(reasons, fmt.Sprintf("there is no record of what attempt %d trained on", before.Number))
	default:
		reasons = append(reasons, exactness.Differences(before.Start.Exactness, attempt.Start.Exactness)...)
	}
	if len(reasons) == 0 {
		return ""
	}
	return fmt.Sprintf("attempt %d: %s", attempt.Number, strings.Join(reasons, "; "))
}

// reasonsMost is how many reasons are told: a run that moves at each preemption has one for each.
const reasonsMost = 3

func first(texts []string, most int) string {
	if more := len(texts) - most; more > 0 {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}
