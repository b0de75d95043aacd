package faketest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Result is what a command of Modal's command line did.
type Result struct {
	Stdout, Stderr string
	Code           int
}

func (r Result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.Code, r.Stdout, r.Stderr)
}

// Modal runs Modal's own command line against the fake. It is looked for in MTT_MODAL, in .venv of the repository and on
// PATH; where it is missing, the test fails in CI and is skipped elsewhere.
func (f *Fake) Modal(t testing.TB, args ...string) Result {
	t.Helper()
	return f.run(t, find(t), args...)
}

// Python runs a script with the Python client of Modal's that the command line is part of, and returns what it prints.
func (f *Fake) Python(t testing.TB, script string) string {
	t.Helper()
	r := f.run(t, filepath.Join(filepath.Dir(find(t)), "python3"), "-c", script)
	if r.Code != 0 {
		t.Fatalf("python: %s", r)
	}
	return r.Stdout
}

func (f *Fake) run(t testing.TB, name string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// The newer calls for Sandboxes are not modal-go's, and not here.
	cmd.Env = append(f.Environ(t), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "TZ=UTC", "COLUMNS=200", "PYTHONDONTWRITEBYTECODE=1", "MODAL_SANDBOX_V2=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %q did not end within %s\nstdout: %s\nstderr: %s", name, args, patience, stdout.String(), stderr.String())
	}
	if cmd.ProcessState == nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// MustModal runs a command that must succeed, and returns what it prints to stdout.
func (f *Fake) MustModal(t testing.TB, args ...string) string {
	t.Helper()
	r := f.Modal(t, args...)
	if r.Code != 0 {
		t.Fatalf("modal %q: %s", args, r)
	}
	return r.Stdout
}

func find(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("MTT_MODAL"); path != "" {
		return path
	}
	for dir, _ := os.Getwd(); dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".venv", "bin", "modal")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if path, err := exec.LookPath("modal"); err == nil {
		return path
	}
	const missing = "Modal's command line is missing: run `make .venv/installed`"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}
