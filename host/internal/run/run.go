package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Run is one run on the volume. Methods that write need the lock.
type Run struct {
	ID       string
	Spec     *Spec
	registry *Registry
	host     *os.File // holds the host's lock; nil without it
	lock     *os.File // is to hold the lock that the plugin inherits
	stray    string
	earlier  *StopRequest
	adopted  bool      // Spec is not the one on the volume yet
	ended    *sync.Map // the attempts that have, by number, where nothing more can come of them
	// supervisors is the number of the last one when it was found that none lives.
	supervisors int
}

// Dir holds the small files of the run, its event files among them.
func (r *Run) Dir() string { return filepath.Join(r.registry.root, "runs", r.ID) }

// Checkpoints is the directory of the run's checkpoints.
func (r *Run) Checkpoints() string { return filepath.Join(r.registry.root, "checkpoints", r.ID) }

// Files holds what the experiment wrote to its output_dir.
func (r *Run) Files() string { return filepath.Join(r.registry.root, "files", r.ID) }

// Executable is the plugin's, by content.
func (r *Run) Executable() string { return filepath.Join(r.registry.Bin(), r.Spec.Plugin.SHA256) }

// LogFile is where the worker of attempt n writes its events.
func (r *Run) LogFile(n int) string {
	return filepath.Join(r.logDir(), strconv.Itoa(n)+".jsonl")
}

// SupervisorLog is where a detached supervisor's own last words go.
func (r *Run) SupervisorLog() string { return filepath.Join(r.logDir(), "supervisor.log") }

// Outputs is the directory of the volume that the run is on.
func (r *Run) Outputs() string { return r.registry.root }

func (r *Run) logDir() string { return filepath.Join(r.Dir(), "log") }

// Result is result.json: how a run ended for good.
type Result struct {
	Schema  string             `json:"schema"` // mtt.result/v1
	State   State              `json:"state"`  // SUCCEEDED or FAILED
	Result  checkpoint.Metrics `json:"result,omitempty"`
	Error   string             `json:"error,omitempty"`
	Code    exit.Code          `json:"exit_code"`
	Step    uint64             `json:"step"`
	Attempt int                `json:"attempt"`
	Time    time.Time          `json:"time"`
}

// Succeeded says that the run has ended with a result. A nil Result has not.
func (r *Result) Succeeded() bool { return r != nil && r.State == Succeeded }

func (r *Run) specFile() string   { return filepath.Join(r.Dir(), "run.json") }
func (r *Run) resultFile() string { return filepath.Join(r.Dir(), "result.json") }

// Result returns how the run ended, or nil if it has not.
func (r *Run) Result() (*Result, error) {
	result := new(Result)
	err := readJSON(r.resultFile(), result)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return result, err
}

// Finish writes result.json.
func (r *Run) Finish(result Result) error {
	result.Schema = "mtt.result/v1"
	result.Time = time.Now().UTC()
	return r.registry.create(r.resultFile(), result)
}

// Adopt gives the run another plugin or other options, for a resume with them. Nothing is written before Reopen, so that
// a resume that is refused changes nothing.
func (r *Run) Adopt(spec *Spec) {
	r.Spec, r.adopted = spec, true
}

// Adopted is what Adopt has given the run and Reopen has not written yet; nil for nothing.
func (r *Run) Adopted() *Spec {
	if !r.adopted {
		return nil
	}
	return r.Spec
}

// Reopen readies the run for its next attempt: what it has adopted is written, the request to stop that was there when a
// person had it go on is removed (nil for none, and a later one stays), and the result of a FAILED one moves to the attempt
// that failed.
func (r *Run) Reopen(old *StopRequest) error {
	if r.adopted {
		if err := r.registry.replace(r.specFile(), r.Spec); err != nil {
			return err
		}
		r.adopted = false
	}
	if request, err := r.StopRequest(); err != nil {
		return err
	} else if request.Same(old) {
		if err := r.registry.records.remove(r.stopFile()); err != nil {
			return err
		}
	}
	result, err := r.Result()
	if err != nil || result == nil {
		return err
	}
	return r.registry.records.move(r.resultFile(), filepath.Join(r.attemptDir(result.Attempt), "result.json"))
}
