// Package faketest runs the real modal-fake for tests, and Modal's own clients against it.
package faketest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake"
)

// Fake is a modal-fake that runs until the test ends.
type Fake struct {
	State string
	args  []string
	cmd   *exec.Cmd
	log   *bytes.Buffer
}

// patience bounds what a test waits for; far more than anything here takes.
const patience = time.Minute

// Start starts a fake with these arguments, such as --set=commit=end.
func Start(t testing.TB, args ...string) *Fake {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mf") // short, since sockets of what runs in a Sandbox may live below it
	if err != nil {
		t.Fatal(err)
	}
	f := &Fake{State: filepath.Join(dir, "state"), args: args}
	t.Cleanup(func() {
		f.Stop(t)
		if t.Failed() {
			t.Logf("modal-fake said:\n%s", f.log)
		}
		os.RemoveAll(dir)
	})
	f.Run(t)
	return f
}

// Run starts a fake that was stopped or killed again, on the same state.
func (f *Fake) Run(t testing.TB) {
	t.Helper()
	f.cmd = exec.Command(binary(t), append([]string{"--state", f.State, "--env-file", f.envFile(), "-v"}, f.args...)...)
	f.log = new(bytes.Buffer)
	f.cmd.Stderr = f.log
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil { // the address, when it serves
		_ = f.cmd.Wait()
		t.Fatalf("modal-fake did not start: %v\n%s", err, f.log)
	}
}

// Stop ends the fake in order.
func (f *Fake) Stop(t testing.TB) {
	t.Helper()
	f.end(t, syscall.SIGTERM)
}

// Kill ends the fake as a power cut would.
func (f *Fake) Kill(t testing.TB) {
	t.Helper()
	f.end(t, syscall.SIGKILL)
}

func (f *Fake) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if f.cmd.ProcessState != nil {
		return
	}
	_ = f.cmd.Process.Signal(signal)
	late := time.AfterFunc(patience, func() { _ = f.cmd.Process.Kill() })
	err := f.cmd.Wait()
	if !late.Stop() {
		t.Errorf("modal-fake did not end within %s of %s", patience, signal)
	} else if signal == syscall.SIGTERM && err != nil {
		t.Errorf("modal-fake: %v", err)
	}
}

func (f *Fake) envFile() string { return f.State + ".env" }

// Environ is what the env file sets.
func (f *Fake) Environ(t testing.TB) []string {
	t.Helper()
	raw, err := os.ReadFile(f.envFile())
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		environ = append(environ, name+"="+strings.Trim(value, "'"))
	}
	return environ
}

// Variable is one of them.
func (f *Fake) Variable(t testing.TB, name string) string {
	t.Helper()
	for _, variable := range f.Environ(t) {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	t.Fatalf("modal-fake sets no %s", name)
	return ""
}

// Setenv gives the test's own process the fake's environment, for modal-go.
func (f *Fake) Setenv(t *testing.T) {
	t.Helper()
	for _, variable := range f.Environ(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

// Tell runs a subcommand of modal-fake for this fake, such as preempt all, and returns what it prints.
func (f *Fake) Tell(t testing.TB, args ...string) string {
	t.Helper()
	said, err := f.Try(t, args...)
	if err != nil {
		t.Fatalf("modal-fake %s: %v", strings.Join(args, " "), err)
	}
	return said
}

// Try is Tell for what may fail.
func (f *Fake) Try(t testing.TB, args ...string) (string, error) {
	t.Helper()
	said, err := exec.Command(binary(t), append(args, "--state", f.State)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return string(said), nil
}

// Calls is how often each call has come to the fake since it was started.
func (f *Fake) Calls(t testing.TB) map[string]modalfake.Count {
	t.Helper()
	calls, err := modalfake.CallsOf(f.State)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

var build struct {
	sync.Once
	path string
	err  error
}

// binary builds modal-fake once for each test binary; MTT_MODAL_FAKE names one that was built elsewhere.
func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("MTT_MODAL_FAKE"); path != "" {
		return path
	}
	build.Do(func() {
		dir, err := os.MkdirTemp("", "modal-fake")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "modal-fake")
		command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", build.path, "github.com/mtt-project/mtt/host/cmd/modal-fake")
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := command.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("build modal-fake: %w\n%s", err, said)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// Main runs the tests of a package that uses this one, and removes what was built for them. TestMain calls it.
func Main(m *testing.M) {
	code := m.Run()
	if build.path != "" {
		os.RemoveAll(filepath.Dir(build.path))
	}
	os.Exit(code)
}
