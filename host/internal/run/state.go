package run

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// State is where a run is in its life.
type State string

const (
	Queued      State = "QUEUED"      // an attempt is claimed, and there is no machine for it yet
	Starting    State = "STARTING"    // an attempt is claimed and does not train yet
	Running     State = "RUNNING"     // an attempt trains
	Recovering  State = "RECOVERING"  // the next attempt is about to be claimed
	Stopping    State = "STOPPING"    // asked to stop, and has not ended yet
	Succeeded   State = "SUCCEEDED"   // ended with a result
	Failed      State = "FAILED"      // ended for good, through the experiment's fault
	Stopped     State = "STOPPED"     // asked to stop; goes on by run or resume
	Interrupted State = "INTERRUPTED" // the worker died, or its plugin was killed; goes on by run or resume
)

// active says that a process executes the run, or is to.
func (s State) active() bool {
	switch s {
	case Queued, Starting, Running, Recovering, Stopping:
		return true
	default:
		return false
	}
}

// Died is the cause of an attempt's end that nobody was left to record.
const Died = "mtt-host was killed, or its machine went down"

// Info is what `show`, `ls` and `run -o json` print of a run.
type Info struct {
	Schema     string          `json:"schema"` // mtt.run/v1
	RunID      string          `json:"run_id"`
	Experiment string          `json:"experiment"`
	State      State           `json:"state"`
	Step       uint64          `json:"step"`
	TotalSteps uint64          `json:"total_steps"` // 0: not known
	Config     json.RawMessage `json:"config"`
	Seed       uint64          `json:"seed"`
	Device     string          `json:"device"`
	Exact      bool            `json:"exact"`
	// ExactVerified says that mtt has seen resumes of this code on this device to be exact, and not just its author.
	ExactVerified bool               `json:"exact_verified"`
	ExactReason   string             `json:"exact_reason,omitempty"` // why it is not exact
	Exactness     *exactness.Key     `json:"exactness,omitempty"`    // of the newest attempt that has started
	Result        checkpoint.Metrics `json:"result"`
	Backend       string             `json:"backend"`
	Attempts      []AttemptInfo      `json:"attempts"`
	Parent        string             `json:"parent,omitempty"`
	Created       time.Time          `json:"created"`
	Ended         *time.Time         `json:"ended,omitempty"`
	ExitCode      *exit.Code         `json:"exit_code,omitempty"`
	Error         string             `json:"error,omitempty"`
	Next          string             `json:"next,omitempty"` // what a person can do about the error, as one or more lines
	Directory     string             `json:"directory,omitempty"`
	Waiting       string             `json:"waiting,omitempty"`    // why it is QUEUED
	StopAsked     *StopAsked         `json:"stop_asked,omitempty"` // of one that is STOPPING or STOPPED
	Warning       string             `json:"warning,omitempty"`    // about an active run, or what an ended one has left behind

	// On Modal.
	AppID      string   `json:"app_id,omitempty"`
	SandboxIDs []string `json:"sandbox_ids,omitempty"` // of the attempts, then of the supervisors
	Dashboard  string   `json:"dashboard,omitempty"`   // an address
}

// StopAsked is a request to stop in an Info.
type StopAsked struct {
	By   string    `json:"by"` // USER@HOST
	Now  bool      `json:"now"`
	Time time.Time `json:"time"`
}

// AttemptInfo is one attempt in an Info.
type AttemptInfo struct {
	Attempt     int        `json:"attempt"`
	ResumedFrom string     `json:"resumed_from,omitempty"`
	ResumedStep uint64     `json:"resumed_step"`
	Started     time.Time  `json:"started"`
	Ended       *time.Time `json:"ended,omitempty"`
	State       State      `json:"state"`
	Cause       string     `json:"cause,omitempty"`
	Step        uint64     `json:"step"`
}

// Info reads the state of the run.
func (r *Run) Info() (*Info, error) {
	attempts, err := r.Attempts()
	if err != nil {
		return nil, err
	}
	result, err := r.Result()
	if err != nil {
		return nil, err
	}
	live, err := r.Live()
	if err != nil {
		return nil, err
	}
	request, err := r.StopRequest()
	if err != nil {
		return nil, err
	}
	waiting, err := r.Waiting()
	if err != nil {
		return nil, err
	}
	info := &Info{
		Schema:     "mtt.run/v1",
		RunID:      r.ID,
		Experiment: r.Spec.Experiment,
		State:      stateOf(attempts, result, live, request, waiting),
		Config:     r.Spec.Config,
		Seed:       r.Spec.Seed,
		Device:     r.Spec.Options.Device,
		Backend:    "local",
		Attempts:   make([]AttemptInfo, 0, len(attempts)),
		Parent:     r.Spec.Parent,
		Created:    r.Spec.Created,
	}
	info.ExactReason = r.Spec.Inexact(attempts)
	info.Exact = info.ExactReason == ""
	if info.State == Queued {
		info.Waiting = waiting.Reason
	}
	for _, attempt := range attempts {
		if attempt.Start != nil {
			info.Exactness = &attempt.Start.Exactness
		}
		info.Attempts = append(info.Attempts, attempt.info(live && attempt.Number == len(attempts)))
	}
	if n := len(attempts); n > 0 {
		last := attempts[n-1]
		if last.Start != nil {
			info.Device = last.Start.Device
		}
		if last.End != nil {
			info.ExitCode, info.Ended, info.Step = &last.End.Code, &last.End.Time, last.End.Step
			if last.End.Code != exit.OK {
				info.Error = last.End.Cause
			}
		}
		progress := r.LastProgress(last.Number)
		info.Step, info.TotalSteps = max(info.Step, progress.Step, last.Claim.ResumedStep), progress.TotalSteps
		if last.End != nil {
			info.TotalSteps = max(info.TotalSteps, last.End.TotalSteps)
		}
	}
	if info.State == Stopped && request != nil && request.Followed {
		info.ExitCode = &request.Code
	}
	info.StopAsked = request.askedOf(info.State, attempts)
	if result != nil {
		info.Result, info.ExitCode, info.Ended = result.Result, &result.Code, &result.Time
		info.Step, info.Error = result.Step, result.Error
	}
	if err := r.registry.records.complete(r, info, attempts); err != nil {
		return info, err
	}
	if newer := r.NewerWarning(); newer != "" {
		info.Warning = strings.TrimPrefix(info.Warning+"; "+newer, "; ")
	}
	return info, nil
}

// askedOf is a request that the newest attempt was to see to; nil if it says nothing of who asked.
func (s *StopRequest) askedOf(state State, attempts []Attempt) *StopAsked {
	if s == nil || s.By == "" || state != Stopping && state != Stopped {
		return nil
	}
	if n := len(attempts); n > 0 && s.Time.Before(attempts[n-1].Claim.Time) {
		return nil
	}
	return &StopAsked{s.By, s.Now, s.Time}
}

func stateOf(attempts []Attempt, result *Result, live bool, request *StopRequest, waiting *Waiting) State {
	if result != nil {
		return result.State
	}
	if live && request.Pending() {
		return Stopping
	}
	if !live && request != nil && request.Followed {
		return Stopped
	}
	if len(attempts) == 0 {
		if live {
			return Starting
		}
		return Interrupted
	}
	last := attempts[len(attempts)-1]
	switch {
	case live && last.End != nil:
		return Recovering
	case live && last.Start != nil:
		return Running
	case live && waiting.of(last):
		return Queued
	case live:
		return Starting
	case last.End != nil && last.End.State == Stopped:
		return Stopped
	default:
		return Interrupted
	}
}

func (a Attempt) info(live bool) AttemptInfo {
	info := AttemptInfo{
		Attempt:     a.Number,
		ResumedFrom: a.Claim.ResumedFrom,
		ResumedStep: a.Claim.ResumedStep,
		Started:     a.Claim.Time,
		State:       Interrupted,
		Step:        a.Claim.ResumedStep,
	}
	switch {
	case a.End != nil:
		info.State, info.Cause, info.Step, info.Ended = a.End.State, a.End.Cause, a.End.Step, &a.End.Time
	case live && a.Start == nil:
		info.State = Starting
	case live:
		info.State = Running
	default:
		info.Cause = Died
	}
	return info
}
