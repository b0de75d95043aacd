package run

import "github.com/mtt-project/mtt/host/internal/eventlog"

// Progress is where an attempt was when it last said so.
type Progress struct {
	Step       uint64
	TotalSteps uint64 // 0: not known
}

// LastProgress reads the newest progress from the log of attempt n, a checkpoint's step included; zero if there is none.
func (r *Run) LastProgress(n int) Progress {
	newest, _ := eventlog.Last(r.LogFile(n), func(e eventlog.Event) bool { return e.Kind == eventlog.Stepped || e.Kind == eventlog.Saved })
	if newest.Kind == eventlog.Saved {
		stepped, _ := eventlog.Last(r.LogFile(n), func(e eventlog.Event) bool { return e.Kind == eventlog.Stepped })
		newest.TotalSteps, newest.Step = stepped.TotalSteps, max(newest.Step, stepped.Step)
	}
	return Progress{Step: newest.Step, TotalSteps: newest.TotalSteps}
}
