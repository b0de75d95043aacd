package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Attempt is one life of a worker, as its files tell it. Those behind Claim are nil until they are written.
type Attempt struct {
	Number  int
	Claim   Claim
	Sandbox *Sandbox // on Modal
	Start   *Start
	Saved   *Saved
	End     *End
}

// Sandbox is sandbox.json: where on Modal an attempt or a supervisor lives.
type Sandbox struct {
	Schema    string    `json:"schema"` // mtt.sandbox/v1
	SandboxID string    `json:"sandbox_id"`
	AppID     string    `json:"app_id"`
	GPU       string    `json:"gpu,omitempty"` // as Modal names it, with a count
	Time      time.Time `json:"time"`          // when it had no machine yet, or just one
}

// Claim is claim.json: whoever creates it owns the attempt.
type Claim struct {
	Schema  string `json:"schema"` // mtt.claim/v1
	Attempt int    `json:"attempt"`
	// ResumedFrom is the id of the checkpoint; empty at step 0.
	ResumedFrom    string `json:"resumed_from,omitempty"`
	ResumedAttempt int    `json:"resumed_attempt,omitempty"` // the attempt that wrote it
	ResumedStep    uint64 `json:"resumed_step"`
	// ResumedEvents is where the curves of that checkpoint end, so that they can be followed down to the first attempt
	// when its manifest is gone. Absent in claims of hosts whose checkpoints had a manifest of version 1.
	ResumedEvents checkpoint.Place `json:"resumed_events,omitzero"`
	Hostname      string           `json:"hostname"`
	PID           int              `json:"pid"`
	HostVersion   string           `json:"host_version"`
	PluginSHA256  string           `json:"plugin_sha256"`
	// Rate bounds what its machine costs, in US dollars per second; 0 where nobody asked.
	Rate float64   `json:"rate,omitempty"`
	Time time.Time `json:"time"`
}

// Start is start.json: what the attempt trains on.
type Start struct {
	Schema string `json:"schema"` // mtt.start/v1
	Device string `json:"device"`
	Driver string `json:"driver,omitempty"` // of a GPU
	PJRT   string `json:"pjrt,omitempty"`   // path of the XLA plugin
	// Exactness is the key under which a resume is bit for bit the same run.
	Exactness exactness.Key `json:"exactness"`
	// Deterministic says that the device repeats training bit for bit, as far as was measured.
	Deterministic bool      `json:"deterministic"`
	PluginPID     int       `json:"plugin_pid"`
	Events        string    `json:"events"` // name of the attempt's event file
	Time          time.Time `json:"time"`
}

// Saved is saved.json: the attempt's first checkpoint is acknowledged. From then on a run without one has lost it.
type Saved struct {
	Schema     string    `json:"schema"` // mtt.saved/v1
	Checkpoint string    `json:"checkpoint"`
	Time       time.Time `json:"time"`
}

// End is end.json: why the attempt ended. It is written by its worker, or by the next attempt for one that was killed.
type End struct {
	Schema string    `json:"schema"` // mtt.end/v1
	State  State     `json:"state"`  // SUCCEEDED, FAILED, STOPPED or INTERRUPTED
	Cause  string    `json:"cause"`
	Code   exit.Code `json:"exit_code"`
	Step   uint64    `json:"step"`
	// TotalSteps is what the experiment said of where it goes, 0 for nothing: for those who have not the attempt's log.
	TotalSteps uint64    `json:"total_steps,omitempty"`
	Lived      Duration  `json:"lived"` // see Run.Lived
	Time       time.Time `json:"time"`  // when this was written
	// Over is when its Sandbox ended, where Modal says so; zero else.
	Over time.Time `json:"over,omitzero"`
}

// Attempts returns the claimed attempts in order.
func (r *Run) Attempts() ([]Attempt, error) {
	numbers, err := numbered(r.attemptsDir())
	if err != nil {
		return nil, err
	}
	var attempts []Attempt
	for _, n := range numbers {
		attempt, err := r.Attempt(n)
		if err != nil {
			return nil, err
		}
		if attempt != nil {
			attempts = append(attempts, *attempt)
		}
	}
	return attempts, nil
}

// Attempt returns a claimed attempt; nil for none.
func (r *Run) Attempt(n int) (*Attempt, error) {
	if ended, ok := r.ended.Load(n); ok {
		attempt := ended.(Attempt)
		return &attempt, nil
	}
	attempt, err := r.readAttempt(n)
	if err == nil && attempt != nil && attempt.End != nil && r.registry.records.endIsLast() {
		r.ended.Store(n, *attempt)
	}
	return attempt, err
}

func (r *Run) readAttempt(n int) (*Attempt, error) {
	attempt := Attempt{Number: n}
	err := readJSON(r.attemptFile(n, "claim"), &attempt.Claim)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // or killed before the claim was written: nobody owns it
	}
	if err != nil {
		return nil, err
	}
	if attempt.Sandbox, err = readOptional[Sandbox](r.attemptFile(n, "sandbox")); err != nil {
		return nil, err
	}
	if attempt.Start, err = readOptional[Start](r.attemptFile(n, "start")); err != nil {
		return nil, err
	}
	if attempt.Saved, err = readOptional[Saved](r.attemptFile(n, "saved")); err != nil {
		return nil, err
	}
	attempt.End, err = r.EndOf(n)
	return &attempt, err
}

// EndOf returns how attempt n ended; nil if that is not recorded.
func (r *Run) EndOf(n int) (*End, error) { return readOptional[End](r.attemptFile(n, "end")) }

// Newest is the number of the newest claimed attempt; 0 for none.
func (r *Run) Newest() (int, error) {
	numbers, err := numbered(r.attemptsDir())
	if err != nil {
		return 0, err
	}
	for _, n := range slices.Backward(numbers) {
		_, err := os.Stat(r.attemptFile(n, "claim"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
	}
	return 0, nil
}

// numbered returns the numbers that entries of a directory have as their names, in order; none if it is not there.
func numbered(dir string) (numbers []int, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return nil, damaged(dir, errNoDirectory)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// ClaimNext creates the next attempt exclusively. The end of the one before must be certain.
func (r *Run) ClaimNext(claim Claim) error {
	if err := r.registry.records.makeDir(r.attemptDir(claim.Attempt)); err != nil {
		return err
	}
	claim.Schema = "mtt.claim/v1"
	err := r.registry.create(r.attemptFile(claim.Attempt, "claim"), claim)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("attempt %d of run %s is claimed already: %w", claim.Attempt, r.ID, err)
	}
	return err
}

// WriteSandbox records where attempt n lives.
func (r *Run) WriteSandbox(n int, sandbox Sandbox) error {
	sandbox.Schema = "mtt.sandbox/v1"
	return r.registry.create(r.attemptFile(n, "sandbox"), sandbox)
}

// RemoveSandbox forgets the Sandbox of attempt n, which was not begun in it.
func (r *Run) RemoveSandbox(n int) error {
	return r.registry.records.remove(r.attemptFile(n, "sandbox"))
}

// WriteStart records what attempt n trains on.
func (r *Run) WriteStart(n int, start Start) error {
	start.Schema = "mtt.start/v1"
	return r.registry.create(r.attemptFile(n, "start"), start)
}

// WriteSaved records that attempt n has made its first checkpoint.
func (r *Run) WriteSaved(n int, checkpoint string) error {
	return r.registry.create(r.attemptFile(n, "saved"), Saved{Schema: "mtt.saved/v1", Checkpoint: checkpoint, Time: time.Now().UTC()})
}

// WriteEnd records how attempt n ended.
func (r *Run) WriteEnd(n int, end End) error {
	end.Schema = "mtt.end/v1"
	if end.Time.IsZero() {
		end.Time = time.Now().UTC()
	}
	end.TotalSteps = r.LastProgress(n).TotalSteps
	return r.registry.create(r.attemptFile(n, "end"), end)
}

// Claims are the attempts in the form in which checkpoints are fenced by them.
func Claims(attempts []Attempt) []checkpoint.Claim {
	claims := make([]checkpoint.Claim, len(attempts))
	for i, attempt := range attempts {
		claims[i] = checkpoint.Claim{
			Attempt:        attempt.Number,
			ResumedFrom:    attempt.Claim.ResumedFrom,
			ResumedAttempt: attempt.Claim.ResumedAttempt,
		}
	}
	return claims
}

// lastAttempt returns the newest attempt; nil for none.
func (r *Run) lastAttempt() (*Attempt, error) {
	n, err := r.Newest()
	if err != nil || n == 0 {
		return nil, err
	}
	return r.Attempt(n)
}

func (r *Run) attemptsDir() string { return filepath.Join(r.Dir(), "attempts") }

func (r *Run) attemptDir(n int) string { return filepath.Join(r.attemptsDir(), strconv.Itoa(n)) }

func (r *Run) attemptFile(n int, name string) string {
	return filepath.Join(r.attemptDir(n), name+".json")
}

func readOptional[T any](path string) (*T, error) {
	value := new(T)
	err := readJSON(path, value)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}
