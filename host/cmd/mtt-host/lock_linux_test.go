package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// held takes the lock of a run whose host was killed, as its plugin does while it leaves, and starts a command, which
// then waits for the lock. What changes until the lock is free is what somebody else did who was faster.
func (b *bench) held(run string, args ...string) (waiting *process, free func()) {
	b.Helper()
	lock, err := os.Open(b.path("runs", run))
	if err != nil {
		b.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { lock.Close() })
	waiting = b.start(args...)
	b.eventually("it waits for the lock", func() bool {
		descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", waiting.cmd.Process.Pid))
		for _, descriptor := range descriptors {
			if at, _ := os.Readlink(descriptor); at == b.path("runs", run) {
				return true
			}
		}
		return false
	})
	return waiting, func() { lock.Close() }
}

// edit changes the run.json of a run.
func (b *bench) edit(run string, change func(spec map[string]any)) {
	b.Helper()
	spec := decode[map[string]any](b, b.read("runs", run, "run.json"))
	change(spec)
	b.write(run, "run.json", spec)
}

func TestRunIsJudgedWhenItsLockIsHeld(t *testing.T) {
	t.Parallel()
	succeeded := map[string]any{"schema": "mtt.result/v1", "state": "SUCCEEDED", "result": map[string]float64{"x": 1}, "step": 400, "attempt": 1}
	failed := map[string]any{"schema": "mtt.result/v1", "state": "FAILED", "error": "it broke", "exit_code": 3, "step": 7, "attempt": 1}
	for name, c := range map[string]struct {
		resume    bool
		meanwhile func(b *bench)
		code      int
		says      string
	}{
		"resume of a run that has succeeded": {true, func(b *bench) { b.write("r", "result.json", succeeded) }, 66, "has finished already"},
		"run of a run that has succeeded":    {false, func(b *bench) { b.write("r", "result.json", succeeded) }, 66, "has finished already"},
		"run of a run that has failed":       {false, func(b *bench) { b.write("r", "result.json", failed) }, 3, "run r has failed: it broke"},
		"resume of a run with another option": {true, func(b *bench) {
			b.edit("r", func(spec map[string]any) { spec["options"].(map[string]any)["keep"] = 3 })
		}, 0, "resumed from checkpoint"},
		"run of a run that has other code now": {false, func(b *bench) {
			b.edit("r", func(spec map[string]any) { spec["plugin"].(map[string]any)["sha256"] = "0" })
		}, 65, "plugin_sha256"},
		"resume of a run that is damaged since": {true, func(b *bench) { cut(b.T, b.path("runs", "r", "run.json")) }, 66, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			args := b.stopped("r")
			if c.resume {
				args = []string{"resume", "r", "--retries", "2"}
			}
			waiting, free := b.held("r", args...)
			c.meanwhile(b)
			free()
			b.check(waiting.wait(), c.code, c.says)
			if name == "resume of a run with another option" {
				options := decode[struct{ Options struct{ Keep, Retries int } }](b, b.read("runs", "r", "run.json")).Options
				if options.Keep != 3 || options.Retries != 2 {
					b.Errorf("what was set meanwhile is lost: %+v", options)
				}
			}
		})
	}
}

func TestSignalEndsTheWaitForALock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.stopped("r")
	waiting, _ := b.held("r", "resume", "r")
	waiting.signal(syscall.SIGINT)
	b.check(waiting.wait(), 130, "interrupted before training had begun")
}

// A resume that is refused leaves the run as it was, its state and its options.
func TestRefusedResumeChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(3, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=error")
	before := b.read("runs", "bad", "run.json")
	for _, manifest := range manifests(b, "bad") {
		cut(t, manifest)
	}
	b.expect(66, []string{"run bad cannot go on"}, "resume", "bad", "--keep", "7")
	if shown := b.show("bad"); shown.State != "FAILED" || *shown.ExitCode != 3 {
		b.Errorf("the run is %s with exit code %d, want FAILED with 3", shown.State, *shown.ExitCode)
	}
	if b.read("runs", "bad", "run.json") != before {
		b.Error("run.json has changed")
	}
}
