package modalfake

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	lost       ending = "lost" // the fake itself goes
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
	for wantsGPU(r.definition) {
		changed := r.server.dice.Changed()
		if r.server.dice.GPUs() == faults.GPUsThere {
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

// spec makes what the process needs.
func (r *running) spec() (sandbox.Spec, error) {
	s, d := r.server, r.definition
	spec := sandbox.Spec{ID: r.id, Dir: r.dir(), Args: d.GetEntrypointArgs(), Output: r.print, Synced: r.synced}
	if len(spec.Args) == 0 {
		spec.Args = []string{"sleep", "infinity"} // what Modal's documentation says of a Sandbox without a command
	}
	home := filepath.Join(spec.Dir, "home")
	for _, dir := range []string{home, filepath.Join(spec.Dir, "root")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return spec, err
		}
	}
	s.mu.Lock()
	env, workdir := s.imageEnv(d.GetImageId())
	env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8",
		"MODAL_TASK_ID=" + r.record.TaskID, "MODAL_IMAGE_ID=" + d.GetImageId(), "MODAL_ENVIRONMENT=" + r.record.Environment,
		"MODAL_IS_REMOTE=1",
	}, env...)
	for _, id := range d.GetSecretIds() {
		if secret := s.secrets.Get(id); secret != nil {
			for name, value := range secret.Env {
				env = append(env, name+"="+value)
			}
		}
	}
	var files []mountFile
	for _, id := range d.GetMountIds() {
		if m := s.mounts.Get(id); m != nil {
			files = append(files, m.Files...)
		}
	}
	trees := make(map[string]*volumeRecord)
	for _, m := range d.GetVolumeMounts() {
		trees[m.GetVolumeId()] = s.volumes.Get(m.GetVolumeId())
	}
	s.mu.Unlock()

	spec.Env, spec.Workdir = env, workdir
	if d.GetWorkdir() != "" {
		spec.Workdir = d.GetWorkdir()
	}
	if spec.Workdir == "" {
		spec.Workdir = home
	}
	for i, m := range d.GetVolumeMounts() {
		record := trees[m.GetVolumeId()]
		if record == nil {
			return spec, fmt.Errorf("the volume %s is gone", m.GetVolumeId())
		}
		dir := filepath.Join(spec.Dir, "volumes", fmt.Sprint(i))
		working, err := volume.Fill(dir, s.content, record.Tree)
		if err != nil {
			return spec, err
		}
		r.volumes = append(r.volumes, &mounted{path: m.GetMountPath(), id: record.ID, version: record.Version, readOnly: m.GetReadOnly(), copy: working})
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Path: m.GetMountPath(), Source: dir, ReadOnly: m.GetReadOnly()})
	}
	for i, file := range files {
		source := filepath.Join(spec.Dir, "files", fmt.Sprint(i), filepath.Base(file.Path))
		if err := r.copyFile(file, source); err != nil {
			return spec, err
		}
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Path: "/" + strings.TrimPrefix(file.Path, "/"), Source: source, ReadOnly: true})
	}
	return spec, sandbox.Check(spec.Mounts)
}

func (r *running) copyFile(file mountFile, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	raw, err := r.server.content.Get(file.Sum)
	if err != nil {
		return err
	}
	mode := os.FileMode(file.Mode & 0o777)
	if mode == 0 {
		mode = 0o644
	}
	return os.WriteFile(to, raw, mode)
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
	case timedOut:
		return outcome{why: why, status: "TIMEOUT", code: 124}
	default:
		return outcome{why: why, status: "TERMINATED", code: 137}
	}
}

// write writes a piece to stdin, unless it was written before.
func (r *running) write(index uint32, input []byte, eof bool) error {
	<-r.started
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
