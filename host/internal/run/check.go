package run

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// CheckResult holds what result.json says against what it was made from, which a user may have edited or lost: that of a
// run that SUCCEEDED against its final checkpoint, whose manifest has a checksum, and that of a FAILED one against the end
// of its attempt. exit.BadCheckpoint: it says something else, or the final checkpoint is gone while others remain.
// unchecked says why nothing could be compared; "" if it was, and for a run without a result.
func (r *Run) CheckResult(ctx context.Context, store checkpoint.Store) (unchecked string, err error) {
	result, err := r.Result()
	if err != nil || result == nil {
		return "", err
	}
	attempts, err := r.Attempts()
	if err != nil {
		return "", err
	}
	if result.State != Succeeded {
		return "", r.checkFailure(result, attempts)
	}
	entries, err := checkpoint.Entries(ctx, store)
	if err != nil {
		return fmt.Sprintf("the result of run %s was not compared with its final checkpoint: %v", r.ID, err), nil
	}
	if isEmpty(entries) {
		return fmt.Sprintf("the result of run %s was not compared with its final checkpoint: the run has no checkpoint any more", r.ID), nil
	}
	var bad error
	for entry := range checkpoint.Lineage(Claims(attempts), entries) {
		if entry.Err != nil {
			bad = cmp.Or(bad, entry.Err)
			continue
		}
		if final := entry.Manifest; final.Reason == checkpoint.Final {
			return "", r.differs("checkpoint "+final.ID, resultFields(result), map[string]string{
				"state": string(Succeeded), "exit code": "0", "step": strconv.FormatUint(final.Step, 10),
			}, result.Result, final.Result)
		}
	}
	if bad != nil {
		return "", exit.Errorf(exit.BadCheckpoint, "the result of run %s cannot be compared with its final checkpoint: %w", r.ID, bad)
	}
	return "", exit.Errorf(exit.BadCheckpoint, "the final checkpoint of run %s is gone, so that its result cannot be compared", r.ID).
		Hint("See which are left: mtt-host checkpoints ls %s", r.ID)
}

func isEmpty(entries iter.Seq[checkpoint.Entry]) bool {
	for range entries {
		return false
	}
	return true
}

func (r *Run) checkFailure(result *Result, attempts []Attempt) error {
	i := slices.IndexFunc(attempts, func(a Attempt) bool { return a.Number == result.Attempt })
	if i < 0 || attempts[i].End == nil {
		return exit.Errorf(exit.BadCheckpoint, "result.json of run %s is that of attempt %d, of whose end there is no record", r.ID, result.Attempt)
	}
	end := attempts[i].End
	fields := resultFields(result)
	fields["error"] = result.Error
	return r.differs(fmt.Sprintf("end.json of attempt %d", result.Attempt), fields, map[string]string{
		"state": string(end.State), "exit code": strconv.Itoa(int(end.Code)), "step": strconv.FormatUint(end.Step, 10), "error": end.Cause,
	}, result.Result, nil)
}

func resultFields(result *Result) map[string]string {
	return map[string]string{
		"state": string(result.State), "exit code": strconv.Itoa(int(result.Code)), "step": strconv.FormatUint(result.Step, 10),
	}
}

// differs says in which fields and metrics result.json is another than what it was made from; nil for none.
func (r *Run) differs(source string, have, want map[string]string, haveMetrics, wantMetrics checkpoint.Metrics) error {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have[name] != want[name] {
			fmt.Fprintf(&lines, "\n  %s: result.json has %s, %s has %s", name, have[name], source, want[name])
		}
	}
	all := maps.Clone(wantMetrics)
	if all == nil {
		all = checkpoint.Metrics{}
	}
	maps.Copy(all, haveMetrics)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, isThere := haveMetrics[name]
		should, belongs := wantMetrics[name]
		if isThere != belongs || was != should && !(math.IsNaN(was) && math.IsNaN(should)) {
			fmt.Fprintf(&lines, "\n  %s: result.json has %s, %s has %s", name, metricText(was, isThere), source, metricText(should, belongs))
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	return exit.Errorf(exit.BadCheckpoint, "the result of run %s is not what it was made from:%s", r.ID, lines.String()).
		Hint("Remove runs/%s/result.json from the outputs, and have it written anew: mtt-host resume %s", r.ID, r.ID)
}

func metricText(value float64, isThere bool) string {
	if !isThere {
		return "none"
	}
	return strconv.FormatFloat(value, 'g', -1, 64)
}
