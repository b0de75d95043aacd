package modalfake

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// ending is why a Sandbox ends, if not by itself.
type ending string

const (
	terminated ending = "terminated" // somebody asked for it
	preempted  ending = "preempted"
	timedOut   ending = "timed out"
	lost       ending = "lost"     // the fake itself goes
	unplaced   ending = "unplaced" // it never had a machine
)

// running is a Sandbox that has not ended.
type running struct {
	server     *Server
	id         string
	record     *sandboxRecord // guarded by the server's mu
	definition *pb.Sandbox
	started    chan struct{} // closed when the process is there
	ended      chan struct{} // closed when the record has the result
	asked      chan ending   // of which the first counts

	mu      sync.Mutex // guards what follows
	process *sandbox.Process
	stdin   uint32 // index of the last piece
	volumes []*mounted
}

// mounted is a volume in a Sandbox.
type mounted struct {
	mu       sync.Mutex // one commit at a time
	gone     bool       // there is nothing to commit any more
	path     string
	id       string
	version  int
	readOnly bool
	copy     *volume.Working
}

func newRunning(s *Server, record *sandboxRecord, definition *pb.Sandbox) *running {
	return &running{server: s, id: record.ID, record: record, definition: definition,
		started: make(chan struct{}), ended: make(chan struct{}), asked: make(chan ending, 1)}
}

// end asks for the end. It does not wait.
func (r *running) end(why ending) {
	select {
	case r.asked <- why:
	default: // it is on its way
	}
}

func (r *running) dir() string { return filepath.Join(r.server.cfg.State, "running", r.id) }

// live is the life of a Sandbox.
func (r *running) live() {
	result := r.run()
	r.endCommits()
	if err := os.RemoveAll(r.dir()); err != nil {
		r.server.log.Error("a Sandbox's directory stays", "sandbox", r.id, "error", err)
	}
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if result.why == lost { // its record still says that it runs, and the next fake finds it so
		close(r.ended)
		return
	}
	record := *r.record
	record.Finished, record.Status, record.ExitCode, record.Exception = time.Now(), result.status, result.code, result.exception
	if err := s.sandboxes.Put(record.ID, &record); err != nil {
		s.log.Error("a Sandbox's end cannot be kept", "sandbox", record.ID, "error", err)
	}
	delete(s.running, record.ID)
	s.log.Info("Sandbox ended", "sandbox", record.ID, "status", record.Status, "exit code", record.ExitCode, "why", result.why)
	s.logOf(record.AppID).changed()
	close(r.ended)
}

type outcome struct {
	why       ending // "" if it ended by itself
	status    faults.Status
	code      int
	exception string
}

func (r *running) run() outcome {
	if why := r.queue(); why != "" {
		return r.killed(why)
	}
	if err := r.start(); err != nil {
		return outcome{status: "INIT_FAILURE", exception: err.Error()}
	}
	limit := time.Duration(r.definition.GetTimeoutSecs()) * time.Second
	if limit == 0 {
		limit = 5 * time.Minute
	}
	if other := r.server.dice.Now().TimeLimit; other > 0 {
		limit = other
	}
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	commit := time.NewTicker(max(r.server.dice.Now().CommitEvery, 10*time.Millisecond))
	defer commit.Stop()
	for {
		select {
		case <-r.process.Done():
			r.commitAtEnd()
			if code := r.process.ExitCode(); code != 0 {
				return outcome{status: "FAILURE", code: code}
			}
			return outcome{status: "SUCCESS"}
		case why := <-r.asked:
			return r.kill(why)
		case <-timeout.C:
			return r.kill(timedOut)
		case <-commit.C:
			if r.server.dice.Now().Commit == faults.CommitBackground {
				r.commitAll()
			}
		}
	}
}

// queue waits for the start, and while there are no GPUs.
func (r *running) queue() (why ending) {
	select {
	case <-time.After(r.server.dice.Now().StartDelay):
	case why := <-r.asked:
		return why
	}
	if r.server.dice.Unplaced() {
		return unplaced
	}
	for wantsGPU(r.definition) {
		changed := r.server.dice.Changed()
		if r.server.dice.GPUs(r.definition.GetResources().GetGpuConfig().GetGpuType()) == faults.GPUsThere {
			return ""
		}
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond): // gpus-for may be over
		case why := <-r.asked:
			return why
		}
	}
	return ""
}

// start fills the working copies and starts the process.
func (r *running) start() error {
	spec, err := r.spec()
	if err != nil {
		return err
	}
	process, err := r.server.starter.Start(spec)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.process = process
	r.mu.Unlock()
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	started := *r.record
	started.Started = time.Now()
	if err := s.sandboxes.Put(started.ID, &started); err != nil {
		process.Kill()
		return err
	}
	r.record = &started
	close(r.started)
	return nil
}

// print keeps what the process prints.
func (r *running) print(stream sandbox.Stream, text string) {
	source := pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT
	if stream == sandbox.Stderr {
		source = pb.FileDescriptor_FILE_DESCRIPTOR_STDERR
	}
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logOf(r.record.AppID).add(logEntry{Sandbox: r.id, Task: r.record.TaskID, Source: source, Data: text})
}

// kill ends the process by force, after a warning if it is preempted and the settings have one. What it has not
// committed is lost, also what it writes meanwhile.
func (r *running) kill(why ending) outcome {
	now := r.server.dice.Now()
	signals := map[faults.Signal]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}
	if signal, ok := signals[now.PreemptSignal]; ok && why == preempted {
		r.process.Signal(signal)
		select {
		case <-r.process.Done():
		case <-time.After(now.PreemptGrace):
		}
	}
	r.process.Kill()
	<-r.process.Done()
	switch {
	case why == terminated || why == timedOut:
		r.commitAtEnd()
	case why == preempted && r.server.dice.Tear():
		r.tear()
	}
	return r.killed(why)
}

// killed is what is reported of a Sandbox that was ended.
func (r *running) killed(why ending) outcome {
	switch why {
	case preempted:
		return outcome{why: why, status: r.server.dice.Now().Preempt} // with exit code 0, the least that says nothing
	case unplaced:
		return outcome{why: why, status: r.server.dice.Now().UnplacedStatus}
	case timedOut:
		return outcome{why: why, status: "TIMEOUT", code: 124}
	default:
		return outcome{why: why, status: "TERMINATED", code: 137}
	}
}

// write writes a piece to stdin, unless it was written before. It waits for the start.
func (r *running) write(index uint32, input []byte, eof bool) error {
	select {
	case <-r.started:
	case <-r.ended:
		return errors.New("it never started")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if index <= r.stdin {
		return nil
	}
	if len(input) > 0 {
		if _, err := r.process.Write(input); err != nil {
			return err
		}
	}
	r.stdin = index
	if eof {
		return r.process.CloseStdin()
	}
	return nil
}
