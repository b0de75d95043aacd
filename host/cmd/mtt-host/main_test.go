package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests drive the real binaries, each built from the source beside them when the first test asks for it. Paths are
// short, since sockets live below TMPDIR.
var (
	binaries string // directory of mtt-host and of the plugins
	hostPath string
)

// programs are the plugins that tests run, by name: where their source is, and how they are built.
var programs = map[string]program{
	"walk":      {"../../../plugins/walk", "CGO_ENABLED=0"},
	"faulty":    {"../../../plugins/faulty", "CGO_ENABLED=0"},
	"train":     {"../../../plugins/train", "CGO_ENABLED=0"},
	"train-xla": {"../../../plugins/train", "CGO_ENABLED=1"},
	"samples":   {"../../../plugins/trials/samples", "CGO_ENABLED=0"},
	"scalars":   {"../../../plugins/trials/scalars", "CGO_ENABLED=0"},
	"values":    {"../../../plugins/trials/values", "CGO_ENABLED=0"},
}

type program struct{ dir, env string }

func TestMain(m *testing.M) {
	answerSignals()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// answerSignals has the programs that tests start answer every signal, whatever started the tests: nohup ignores SIGHUP,
// and a shell SIGINT and SIGQUIT of a job in the background. What is ignored is inherited, and what is caught is not.
func answerSignals() {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

func buildAndRun(m *testing.M) (code int, err error) {
	if binaries = os.Getenv("MTT_BINARIES"); binaries != "" { // built beforehand, for a machine without Go
		hostPath = filepath.Join(binaries, "mtt-host")
		return m.Run(), nil
	}
	if binaries, err = os.MkdirTemp("/tmp", "mtt"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(binaries)
	hostPath = filepath.Join(binaries, "mtt-host")
	if err := build(".", hostPath, "CGO_ENABLED=0"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func build(dir, output string, env ...string) error {
	command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", output, ".")
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", dir, err, said)
	}
	return nil
}

// pluginPath returns the executable of one of the programs, which it builds the first time.
func pluginPath(name string) string {
	building.Lock()
	defer building.Unlock()
	path := filepath.Join(binaries, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	program, ok := programs[name]
	if !ok {
		panic("no program is called " + name)
	}
	if err := build(program.dir, path, program.env); err != nil {
		panic(err)
	}
	return path
}

var building sync.Mutex

// bench is a place for runs: outputs and a TMPDIR of its own. When the test ends, nothing that was started may be left.
type bench struct {
	*testing.T
	outputs string
	tmp     string
	env     []string // besides what every process needs
	user    uint32   // that starts commands; 0 for the one that runs the tests
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, outputs: filepath.Join(dir, "outputs"), tmp: filepath.Join(dir, "t")}
	if err := os.Mkdir(b.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.checkNothingLeft()
		if t.Failed() && os.Getenv("MTT_KEEP") != "" {
			t.Logf("kept %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return b
}

// limit is how long a command may take before the test gives up on it; far more than any needs.
const limit = 2 * time.Minute

type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
}

// run runs mtt-host to its end.
func (b *bench) run(args ...string) result {
	b.Helper()
	return b.start(args...).wait()
}

// expect runs mtt-host and wants this exit code, and these words on stderr.
func (b *bench) expect(code int, words []string, args ...string) result {
	b.Helper()
	r := b.run(args...)
	b.check(r, code, words...)
	return r
}

func (b *bench) check(r result, code int, words ...string) {
	b.Helper()
	if r.code != code {
		b.Fatalf("want exit code %d; got %v", code, r)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			b.Errorf("want %q on stderr; got %v", word, r)
		}
	}
}

// process is a running mtt-host.
type process struct {
	b              *bench
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	done           chan struct{}
}

func (b *bench) start(args ...string) *process {
	b.Helper()
	return b.startCommand(exec.Command(hostPath, args...))
}

func (b *bench) startCommand(cmd *exec.Cmd) *process {
	b.Helper()
	p := &process{b: b, cmd: cmd, done: make(chan struct{})}
	cmd.Dir = filepath.Dir(b.tmp)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + b.tmp, "MTT_OUTPUTS=" + b.outputs,
		"GOCACHE=" + goEnv("GOCACHE"), "GOFLAGS=" + goEnv("GOFLAGS"), "GOMODCACHE=" + goEnv("GOMODCACHE"),
		"GOPROXY=" + goEnv("GOPROXY"),
	}, b.env...)
	if cmd.Stdout == nil {
		cmd.Stdout = &p.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if b.user != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: b.user, Gid: b.user}
	}
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	b.Cleanup(p.kill)
	return p
}

var goEnv = func() func(string) string {
	var mu sync.Mutex
	known := map[string]string{}
	return func(name string) string {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := known[name]; !ok {
			out, _ := exec.Command("go", "env", name).Output()
			known[name] = strings.TrimSpace(string(out))
		}
		return known[name]
	}
}()

// kill ends the host with SIGKILL, and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(s syscall.Signal) {
	p.b.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.b.Fatal(err)
	}
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) wait() result {
	p.b.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.kill()
		p.b.Fatalf("%v did not end within %s\nstderr: %s", p.cmd.Args, limit, p.stderr.String())
	}
	code := p.cmd.ProcessState.ExitCode()
	return result{p.stdout.String(), p.stderr.String(), code}
}

// waitFor waits until the host has printed text to stderr.
func (p *process) waitFor(text string) {
	p.b.Helper()
	p.b.eventually("mtt-host prints "+text, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// eventually waits, bounded, until a condition holds.
func (b *bench) eventually(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("waited %s in vain until %s", limit, what)
		}
	}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// What the commands print as JSON, as far as the tests look at it.
type (
	runInfo struct {
		Schema        string             `json:"schema"`
		RunID         string             `json:"run_id"`
		State         string             `json:"state"`
		Step          int64              `json:"step"`
		TotalSteps    int64              `json:"total_steps"`
		Exact         bool               `json:"exact"`
		ExactVerified bool               `json:"exact_verified"`
		ExactReason   string             `json:"exact_reason"`
		Exactness     map[string]any     `json:"exactness"`
		Device        string             `json:"device"`
		Result        map[string]float64 `json:"result"`
		ExitCode      *int               `json:"exit_code"`
		Error         string             `json:"error"`
		Attempts      []struct {
			Attempt     int    `json:"attempt"`
			ResumedFrom string `json:"resumed_from"`
			ResumedStep int64  `json:"resumed_step"`
			State       string `json:"state"`
			Cause       string `json:"cause"`
		} `json:"attempts"`
	}
	checkpointInfo struct {
		ID        string `json:"id"`
		Step      int64  `json:"step"`
		Reason    string `json:"reason"`
		Verified  *bool  `json:"verified"`
		StateHash string `json:"state_hash"`
		SizeBytes int64  `json:"size_bytes"`
	}
)

func (b *bench) show(run string) runInfo {
	b.Helper()
	return decode[runInfo](b, b.expect(0, nil, "show", run, "-o", "json").stdout)
}

// checkpoints lists the checkpoints of a run, the newest first.
func (b *bench) checkpoints(run string) []checkpointInfo {
	b.Helper()
	return decode[struct{ Items []checkpointInfo }](b, b.expect(0, nil, "checkpoints", "ls", run, "-o", "json").stdout).Items
}

// verify wants every checkpoint of a run to be whole, and returns how many there are.
func (b *bench) verify(run string) int {
	b.Helper()
	items := decode[struct{ Items []checkpointInfo }](b, b.expect(0, nil, "checkpoints", "verify", run, "-o", "json").stdout).Items
	for _, item := range items {
		if item.Verified == nil || !*item.Verified {
			b.Errorf("checkpoint %s does not verify", item.ID)
		}
	}
	return len(items)
}

func decode[T any](b *bench, text string) (value T) {
	b.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		b.Fatalf("stdout is not one JSON value: %v\n%s", err, text)
	}
	return value
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.outputs}, parts...)...)
}

// read returns a file of the outputs.
func (b *bench) read(parts ...string) string {
	b.Helper()
	raw, err := os.ReadFile(b.path(parts...))
	if err != nil {
		b.Fatal(err)
	}
	return string(raw)
}

// write makes a record of a run, as another mtt-host would.
func (b *bench) write(run, name string, record map[string]any) {
	b.Helper()
	raw, err := json.Marshal(record)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(b.path("runs", run, name), raw, 0o644); err != nil {
		b.Fatal(err)
	}
}

// log returns the events of an attempt.
func (b *bench) log(run string, attempt int) (events []map[string]any) {
	b.Helper()
	raw, err := os.ReadFile(b.path("runs", run, "log", strconv.Itoa(attempt)+".jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var event map[string]any
		if json.Unmarshal([]byte(line), &event) == nil { // the last one may be torn
			events = append(events, event)
		}
	}
	return events
}

// pluginPID returns the process id of the plugin of the newest attempt, or 0 if there is none yet.
func (b *bench) pluginPID(run string, attempt int) int {
	raw, err := os.ReadFile(b.path("runs", run, "attempts", strconv.Itoa(attempt), "start.json"))
	if err != nil {
		return 0
	}
	var start struct {
		PluginPID int `json:"plugin_pid"`
	}
	if json.Unmarshal(raw, &start) != nil {
		return 0
	}
	return start.PluginPID
}

// ours lists the processes that run one of our executables or have our TMPDIR in their environment.
func (b *bench) ours() (found []string) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		exe, err := os.Readlink(filepath.Join(process, "exe"))
		if err != nil {
			continue
		}
		environment, _ := os.ReadFile(filepath.Join(process, "environ"))
		if strings.HasPrefix(exe, b.outputs) || bytes.Contains(environment, []byte("TMPDIR="+b.tmp)) {
			found = append(found, process+" "+exe)
		}
	}
	return found
}

// checkNothingLeft holds two promises: no process of ours after 5 s, and no socket or temporary file after the next
// command.
func (b *bench) checkNothingLeft() {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(b.ours()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Errorf("processes are left after 5 s: %v", b.ours())
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	next := exec.CommandContext(ctx, hostPath, "plugin", "describe", pluginPath("walk"))
	next.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.tmp, "MTT_OUTPUTS=" + filepath.Join(filepath.Dir(b.tmp), "next")}
	if said, err := next.CombinedOutput(); err != nil {
		b.Errorf("the next command failed: %v\n%s", err, said)
	}
	err := filepath.WalkDir(b.tmp, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() || err == nil && strings.Count(strings.TrimPrefix(path, b.tmp), "/") > 1 {
			b.Errorf("%s is left after the next command", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Error(err)
	}
	leftover, _ := filepath.Glob(b.path("runs", "*", "*.tmp"))
	inAttempts, _ := filepath.Glob(b.path("runs", "*", "attempts", "*", "*.tmp"))
	partial, _ := filepath.Glob(b.path("bin", ".install", "*"))
	if left := slices.Concat(leftover, inAttempts, partial); len(left) > 0 {
		b.Errorf("temporary files are left: %v", left)
	}
}
