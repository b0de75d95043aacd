package run

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Supervisor is one that lives, or has lived, a run on Modal, as its files tell it. Sandbox and End are nil until they
// are written.
type Supervisor struct {
	Number  int
	Claim   SupervisorClaim
	Sandbox *Sandbox
	End     *SupervisorEnd
}

// SupervisorClaim is supervisors/<n>/claim.json: whoever creates it may start supervisor n.
type SupervisorClaim struct {
	Schema string `json:"schema"` // mtt.supervisor/v1
	// Spec is what a person wants the run to go on with. nil for the successor of a supervisor, which changes nothing.
	Spec *Spec `json:"spec,omitempty"`
	// Stop is the request to stop that was there then, which means nothing any more.
	Stop *StopRequest `json:"stop,omitempty"`
	// Streak is that of the attempts when a successor takes over.
	Streak
	// PassedSecret names the Secret with the variables that the run passes on without a record of their values.
	PassedSecret string `json:"passed_secret,omitempty"`
	// HostSHA256 is the mtt-host that it is to be; the attempts are lived by the same.
	HostSHA256 string    `json:"host_sha256"`
	Time       time.Time `json:"time"`
}

// Streak is how many attempts in a row have ended in one way, the last one included.
type Streak struct {
	Fruitless   int `json:"fruitless,omitempty"`     // without progress
	OutOfMemory int `json:"out_of_memory,omitempty"` // for want of memory
}

// SupervisorEnd is supervisors/<n>/end.json: why it left.
type SupervisorEnd struct {
	Schema    string    `json:"schema"` // mtt.supervisor-end/v1
	Code      exit.Code `json:"exit_code"`
	Cause     string    `json:"cause"`
	Next      string    `json:"next,omitempty"`      // what a person can do
	Successor int       `json:"successor,omitempty"` // who took over
	Time      time.Time `json:"time"`
}

// startTime is how long after the claim of a supervisor its Sandbox may not be there yet.
const startTime = 30 * time.Second

// starting says that whoever has claimed it may be about to start it.
func (s Supervisor) starting() bool {
	return s.Sandbox == nil && s.End == nil && MayStart(s.Claim.Time)
}

// MayStart says that a supervisor which was claimed then, and of which nothing else is known, may be about to start.
func MayStart(claimed time.Time) bool { return time.Since(claimed).Abs() < startTime }

// NextSupervisor is the number that the next one may have, if nobody else takes it first.
func (r *Run) NextSupervisor() int { return r.supervisors + 1 }

// Supervisors returns those that were claimed, in order.
func (r *Run) Supervisors() ([]Supervisor, error) {
	numbers, err := numbered(filepath.Join(r.Dir(), "supervisors"))
	if err != nil {
		return nil, err
	}
	var supervisors []Supervisor
	for _, n := range numbers {
		claim, err := readOptional[SupervisorClaim](r.supervisorFile(n, "claim"))
		if err != nil {
			return nil, err
		}
		if claim == nil {
			continue
		}
		s := Supervisor{Number: n, Claim: *claim}
		if s.Sandbox, err = readOptional[Sandbox](r.supervisorFile(n, "sandbox")); err != nil {
			return nil, err
		}
		if s.End, err = readOptional[SupervisorEnd](r.supervisorFile(n, "end")); err != nil {
			return nil, err
		}
		supervisors = append(supervisors, s)
	}
	return supervisors, nil
}

// ClaimSupervisor creates supervisor n exclusively. fs.ErrExist: it is claimed, by another claim than this.
func (r *Run) ClaimSupervisor(n int, claim SupervisorClaim) error {
	claim.Schema = "mtt.supervisor/v1"
	err := r.makeSupervisor(n)
	if err == nil {
		err = r.registry.create(r.supervisorFile(n, "claim"), claim)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("supervisor %d of run %s is claimed already: %w", n, r.ID, err)
	}
	return err
}

func (r *Run) makeSupervisor(n int) error {
	return r.registry.records.makeDir(filepath.Dir(r.supervisorFile(n, "claim")))
}

// WriteSupervisorSandbox records where supervisor n lives.
func (r *Run) WriteSupervisorSandbox(n int, sandbox Sandbox) error {
	sandbox.Schema = "mtt.sandbox/v1"
	return r.registry.create(r.supervisorFile(n, "sandbox"), sandbox)
}

// WriteSupervisorEnd records why supervisor n left.
func (r *Run) WriteSupervisorEnd(n int, end SupervisorEnd) error {
	end.Schema, end.Time = "mtt.supervisor-end/v1", time.Now().UTC()
	return r.registry.create(r.supervisorFile(n, "end"), end)
}

func (r *Run) supervisorFile(n int, name string) string {
	return filepath.Join(r.Dir(), "supervisors", strconv.Itoa(n), name+".json")
}

// Waiting is waiting.json: why attempt n has not begun. It means nothing once that has.
type Waiting struct {
	Schema  string    `json:"schema"` // mtt.waiting/v1
	Attempt int       `json:"attempt"`
	Reason  string    `json:"reason"`
	Time    time.Time `json:"time"`
}

func (w *Waiting) of(attempt Attempt) bool {
	return w != nil && w.Attempt == attempt.Number && attempt.Start == nil && attempt.End == nil
}

func (r *Run) waitingFile() string { return filepath.Join(r.Dir(), "waiting.json") }

// Waiting returns what attempt is waited for; nil for none.
func (r *Run) Waiting() (*Waiting, error) { return readOptional[Waiting](r.waitingFile()) }

// WriteWaiting says that attempt n waits for a machine.
func (r *Run) WriteWaiting(n int, reason string) error {
	return r.registry.replace(r.waitingFile(), Waiting{Schema: "mtt.waiting/v1", Attempt: n, Reason: reason, Time: time.Now().UTC()})
}
