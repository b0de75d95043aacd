package run

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/regular"
)

// TimeLeft is how long the next attempt may run, after the attempts that the run has had: for ever without a time
// limit. exit.TimeLimit: nothing is left.
func (r *Run) TimeLeft(attempts []Attempt) (time.Duration, error) {
	limit := time.Duration(r.Spec.Options.Timeout)
	if limit == 0 {
		return math.MaxInt64, nil
	}
	for _, attempt := range attempts {
		if limit -= r.Lived(attempt); limit <= 0 { // and not beyond what an int64 holds
			return 0, r.TimeUp()
		}
	}
	return limit, nil
}

// TimeUp is the error of a run whose time limit is used up.
func (r *Run) TimeUp() error {
	return exit.Errorf(exit.TimeLimit, "the time limit of %s is used up", r.Spec.Options.Timeout).
		Hint("Go on with it: mtt-host resume %s --timeout LONGER", r.ID)
}

// Lived is how long an attempt has run, by its worker's monotonic clock: the times in records are a wall clock's, which
// may jump. Of one that was killed it is what was recorded last, within a second. 0 for a killed attempt of a host that
// recorded nothing. What it waited for a machine does not count.
func (r *Run) Lived(a Attempt) time.Duration {
	if a.End != nil {
		return max(0, time.Duration(a.End.Lived))
	}
	last, _ := eventlog.Last(r.LogFile(a.Number), func(e eventlog.Event) bool { return e.ElapsedSeconds > 0 })
	var record Elapsed
	if readJSON(r.elapsedFile(a.Number), &record) != nil { // it was torn, or there is none
		record.Seconds = 0
	}
	return Seconds(max(record.Seconds, last.ElapsedSeconds))
}

// Seconds is a duration of so many seconds, as far as an int64 holds it; 0 for a negative one.
func Seconds(s float64) time.Duration {
	return time.Duration(max(0, min(s*float64(time.Second), math.MaxInt64/2)))
}

// Elapsed is how long an attempt has run until now. It is not one of the records that are written once.
type Elapsed struct {
	Schema  string  `json:"schema"` // mtt.elapsed/v1
	Seconds float64 `json:"seconds"`
}

// ElapsedName is the name of the file that has it, in the attempt's directory: one that a mirror of records need not have.
const ElapsedName = "elapsed"

func (r *Run) elapsedFile(n int) string { return filepath.Join(r.attemptDir(n), ElapsedName) }

// WriteElapsed records how long attempt n has run. It is called each second, so the file is overwritten in place, at one
// length: a kill leaves the old text or the new one. What a machine that goes down loses of it, the manifests have.
func (r *Run) WriteElapsed(n int, elapsed time.Duration) error {
	file, err := regular.OpenFile(r.elapsedFile(n), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, `{"schema": "mtt.elapsed/v1", "seconds": %14.3f}`+"\n", elapsed.Seconds())
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}
