// Package eventlog is the log of an attempt, log/<n>.jsonl: what its worker did and what its plugin printed, one JSON
// object a line. A terminal shows a run by rendering these, whether the run is its own child or somewhere else.
package eventlog

import (
	"fmt"
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
