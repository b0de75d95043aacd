// Package eventlog is the log of an attempt: what its worker did and what its plugin printed, one JSON object a line. A
// terminal shows a run by rendering these, whether the run is its own child or somewhere else.
//
// A log is a list of segments. The first, log/<n>.jsonl, is the head: it is kept as it was written. Later ones are
// log/<n>.2.jsonl and so on. When there are more than maxSegments, the two oldest behind the head are folded into one, the
// digest: it keeps the worker's own events, thins out the reports of steps, and keeps the newest of the plugin's lines.
// Where events are gone, an event of the kind Gone has their number. So a log has a bounded size however long its attempt
// runs, and a reader sees one stream, in order, in which nothing is missing without a word.
package eventlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// Kind says what an Event is about. The kinds are part of the log's format.
type Kind string

const (
	Started  Kind = "started"  // an attempt began: where it resumed, on what device
	Stepped  Kind = "step"     // where training is; about one a second
	Saved    Kind = "saved"    // a checkpoint was acknowledged
	FellBack Kind = "fellback" // a bad checkpoint was skipped
	Stopping Kind = "stopping" // the attempt was asked to end
	Warning  Kind = "warning"  // something a person should know
	Printed  Kind = "plugin"   // a line that the plugin printed
	Ended    Kind = "ended"    // the attempt is over
	Retrying Kind = "retrying" // another attempt will follow
	Gone     Kind = "gone"     // events that were logged here are not kept
)

// Schema is that of an event.
const Schema = "mtt.event/v1"

// Event is a line of an attempt's log.
type Event struct {
	Schema  string    `json:"schema"` // mtt.event/v1
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Seq     uint64    `json:"seq"` // number among the attempt's, from 1; 0 for what nobody was left to log
	Kind    Kind      `json:"kind"`
	// ElapsedSeconds is how long the attempt had run, by a monotonic clock; 0 where that was not measured.
	ElapsedSeconds float64 `json:"elapsed_seconds,omitempty"`
	// Message is the event in words, complete in itself.
	Message string `json:"message,omitempty"`

	Step           uint64             `json:"step,omitempty"`
	TotalSteps     uint64             `json:"total_steps,omitempty"`
	StepsPerSecond float64            `json:"steps_per_second,omitempty"`
	Metrics        checkpoint.Metrics `json:"metrics,omitempty"` // the latest value of each tag

	Checkpoint string  `json:"checkpoint,omitempty"` // id
	Reason     string  `json:"reason,omitempty"`     // of the checkpoint
	SizeBytes  uint64  `json:"size_bytes,omitempty"` // of the checkpoint
	Seconds    float64 `json:"seconds,omitempty"`    // that the save took

	Gone *Missing `json:"gone,omitempty"` // of an event of the kind Gone
}

// Missing counts the events, numbered without a gap, of which the last has the number of the Gone event.
type Missing struct {
	First uint64 `json:"first"`           // number of the first
	Lines uint64 `json:"lines,omitempty"` // lines of the plugin
	Steps uint64 `json:"steps,omitempty"` // reports of steps
	Other uint64 `json:"other,omitempty"` // events of other kinds, or of kinds that are not known
}

// First is the number of the first event that this one stands for: itself, or those that are gone.
func (e Event) First() uint64 {
	if e.Gone != nil {
		return e.Gone.First
	}
	return e.Seq
}

// Behind is what an event stands for behind that with number last, which comes before it: of what a Gone event counts, a
// reader may have some, and of what kinds the rest is cannot be told.
func (e Event) Behind(last uint64) Event {
	if e.Gone == nil || e.Gone.First > last {
		return e
	}
	rest := &Missing{First: last + 1, Other: e.Seq - last}
	return rest.event(e.Attempt, e.Seq, e.Time)
}

func (m *Missing) count(kind Kind) {
	switch kind {
	case Printed:
		m.Lines++
	case Stepped:
		m.Steps++
	default:
		m.Other++
	}
}

func (m *Missing) add(more *Missing) {
	m.Lines, m.Steps, m.Other = m.Lines+more.Lines, m.Steps+more.Steps, m.Other+more.Other
}

// event is the Gone event of what is missing up to the event with number last.
func (m *Missing) event(attempt int, last uint64, at time.Time) Event {
	return Event{Schema: Schema, Time: at, Attempt: attempt, Seq: last, Kind: Gone, Message: m.String(), Gone: m}
}

// String says what is gone: "12,345 lines of the plugin and 1 report of a step are gone".
func (m *Missing) String() string {
	var parts []string
	for _, part := range []struct {
		n         uint64
		one, many string
	}{
		{m.Lines, "line of the plugin", "lines of the plugin"},
		{m.Steps, "report of a step", "reports of steps"},
		{m.Other, "event", "events"},
	} {
		switch part.n {
		case 0:
		case 1:
			parts = append(parts, "1 "+part.one)
		default:
			parts = append(parts, grouped(part.n)+" "+part.many)
		}
	}
	verb := "are"
	if m.Lines+m.Steps+m.Other == 1 {
		verb = "is"
	}
	if n := len(parts); n > 1 {
		parts = append(parts[:n-2], parts[n-2]+" and "+parts[n-1])
	}
	return strings.Join(parts, ", ") + " " + verb + " gone"
}

// grouped is a number with a comma before each group of three digits.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// EndMessage says that an attempt has ended in a state, and why, if it was not that it had finished.
func EndMessage(state, cause string) string {
	if cause == EndedWell {
		return "attempt " + EndedWell
	}
	return fmt.Sprintf("attempt %s: %s", state, cause)
}

// EndedWell is the cause of an end that nothing but the last step has caused.
const EndedWell = "finished"
