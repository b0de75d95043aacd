package worker

import (
	"slices"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// kept returns what of the event files belongs to a checkpoint whose curves end at a place, in order: in the file of each
// attempt of its history, what is before the checkpoint that the next one resumed from.
func kept(attempts []run.Attempt, at checkpoint.Place) (parts []tensorboard.Place) {
	for at.File != "" {
		parts = append(parts, tensorboard.Place(at))
		i := slices.IndexFunc(attempts, func(a run.Attempt) bool { return a.Number == at.Attempt })
		if i < 0 { // attempt 0, of a manifest of version 1: the file holds all that was before
			break
		}
		attempts, at = attempts[:i], attempts[i].Claim.ResumedEvents
	}
	slices.Reverse(parts)
	return parts
}
