package run

import "github.com/mtt-project/mtt/host/internal/eventlog"

// Progress is where an attempt was when it last said so.
type Progress struct {
	Step       uint64
	TotalSteps uint64
}

// LastProgress reads the newest progress from the log of attempt n; zero if there is none.
func (r *Run) LastProgress(n int) Progress {
	event, _ := eventlog.Last(r.LogFile(n), func(e eventlog.Event) bool { return e.Step > 0 && e.TotalSteps > 0 })
	return Progress{Step: event.Step, TotalSteps: event.TotalSteps}
}

// LastSaved returns the id of the last checkpoint that attempt n saved, as its log tells; "" if there is none.
func (r *Run) LastSaved(n int) string {
	event, _ := eventlog.Last(r.LogFile(n), func(e eventlog.Event) bool { return e.Kind == eventlog.Saved })
	return event.Checkpoint
}
