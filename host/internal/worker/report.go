package worker

import "time"

// reporter turns the plugin's progress into step events.
type reporter struct {
	attempt *attempt
	step    uint64
	time    time.Time
}

func newReporter(a *attempt) *reporter {
	progress, _ := a.metrics.now()
	return &reporter{attempt: a, step: progress.Step, time: time.Now()}
}

// report logs where training is, if it has moved.
func (r *reporter) report() {
	progress, latest := r.attempt.metrics.now()
	if progress.Step <= r.step {
		return
	}
	now := time.Now()
	r.attempt.log.write(Event{
		Kind: Stepped, Step: progress.Step, TotalSteps: progress.TotalSteps, Metrics: latest,
		StepsPerSecond: float64(progress.Step-r.step) / now.Sub(r.time).Seconds(),
	})
	r.step, r.time = progress.Step, now
}
