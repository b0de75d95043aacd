package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// badPlugin is what the host makes of one fault of plugins/faulty.
type badPlugin struct {
	fault string
	code  int
	state string   // "": no run is made
	saved int64    // step of the newest checkpoint; -1 for none
	says  []string // on stderr: what happened, and what to do next
}

const goOn = "mtt-host resume bad"

var badPlugins = []badPlugin{
	{"print-first", 70, "", -1, []string{`printed "loading the model" to stdout`, "prints nothing to stdout before it"}},
	{"exit-at-once", 70, "", -1, []string{"exited with code 3", "no licence found", "run it by hand"}},
	{"never-answers", 70, "", -1, []string{"did not answer within 2s", "--start-timeout"}},
	{"other-protocol", 70, "", -1, []string{"speaks version 99 of the protocol", "speaks version 1", "same major version"}},
	{"killed-at-start", 75, "INTERRUPTED", -1, []string{"before its handshake", "killed by signal 9", goOn}},
	{"describe-killed", 75, "", -1, []string{"Describe", "killed by signal 9"}},
	{"describe-hangs", 70, "", -1, []string{"did not answer Describe within 2s", "--start-timeout"}},
	{"describe-exits", 70, "", -1, []string{"Describe", "exited with code 4", "run it by hand"}},
	{"describe-nonsense", 70, "", -1, []string{"broke the protocol", `name is ""`, "lower-case name"}},
	{"no-outcome", 70, "FAILED", -1, []string{"broke the protocol", "has no outcome", goOn}},
	{"no-final", 70, "FAILED", -1, []string{"broke the protocol", "without a final checkpoint", goOn}},
	{"metric-gap", 70, "FAILED", -1, []string{"broke the protocol", "begins with point 5, after point 0", goOn}},
	{"save-without-commit", 70, "FAILED", -1, []string{"broke the protocol", "without a commit", goOn}},
	{"save-wrong-sum", 70, "FAILED", -1, []string{"broke the protocol", `blob "state" did not arrive as it was sent`, goOn}},
	{"save-reserved-name", 70, "FAILED", -1, []string{"broke the protocol", `"manifest.json" cannot be the name of a blob`, goOn}},
	{"error", 3, "FAILED", 5, []string{"the experiment failed: the experiment's own failure", goOn}},
	{"panic", 70, "FAILED", 5, []string{"the experiment panicked", "index out of range", "faulty/experiment.go", goOn}},
	{"panic-elsewhere", 70, "FAILED", 5, []string{"the experiment panicked", "\n  panic: a data loader's own panic", "\n  main.loadData", goOn}},
	{"exit", 70, "FAILED", 5, []string{"ended in the middle of training", "exited with code 1", "the data set is gone", goOn}},
	{"killed", 75, "INTERRUPTED", 10, []string{"killed by signal 9", goOn}},
	{"none", 0, "SUCCEEDED", 20, []string{"mtt-host show bad"}},
}

// otherFaults have tests of their own.
var otherFaults = []string{"killed-once", "error-twice", "fails-at-stop", "ignores-stop", "ignores-cancel", "ignores-resume", "daemon", "data", "environment", "slow", "floods",
	"stray-at-start", "stray-in-describe", "stray-in-train", "stray-in-metrics", "stray-in-save", "stray-in-load",
	"save-nothing", "save-header", "save-half", "save-ahead", "load-half", "never-leaves",
	"error-huge", "prints-long-lines", "prints-without-end", "bar", "dots", "many-lines",
	"schema", "refuses-config", "metric-negative", "progress-negative", "empty-tag", "negative-step", "negative-progress", "only-metrics", "never-saves"}

func TestBadPluginBreaksOnlyItself(t *testing.T) {
	for _, bad := range badPlugins {
		t.Run(bad.fault, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.expect(bad.code, bad.says, "run", pluginPath("faulty"), "--name", "bad", "-o", "json",
				"--env-var", "FAULTY="+bad.fault, "--start-timeout", "2s")
			if !strings.Contains(r.stderr, "mtt-host: ") && bad.code != 0 {
				b.Errorf("there is no error on stderr: %v", r)
			}
			if bad.state == "" {
				if r.stdout != "" {
					b.Errorf("stdout holds more than data: %q", r.stdout)
				}
				b.expect(5, nil, "show", "bad")
				return
			}
			shown := b.show("bad")
			if printed := decode[runInfo](b, r.stdout); printed.State != bad.state || shown.State != bad.state {
				b.Errorf("state: printed %s, shown %s, want %s", printed.State, shown.State, bad.state)
			}
			if shown.ExitCode == nil || *shown.ExitCode != bad.code {
				b.Errorf("exit_code: shown %v, want %d", shown.ExitCode, bad.code)
			}
			final := bad.state == "FAILED" || bad.state == "SUCCEEDED"
			if there := exists(b.path("runs", "bad", "result.json")); there != final {
				b.Errorf("there is a result.json: %v, want %v in state %s", there, final, bad.state)
			}
			b.newestIs("bad", bad.saved)
		})
	}
}

func TestEveryFaultHasATest(t *testing.T) {
	tested := map[string]bool{}
	for _, bad := range badPlugins {
		tested[bad.fault] = true
	}
	for _, fault := range otherFaults {
		tested[fault] = true
	}
	for _, much := range manyTooMuch {
		tested[much.fault] = true
	}
	list, _ := exec.Command(pluginPath("faulty")).CombinedOutput()
	faults := strings.Split(strings.TrimSpace(string(list)), "\n")[1:]
	for _, line := range faults {
		if fault := strings.Fields(line)[0]; !tested[fault] {
			t.Errorf("fault %s of plugins/faulty has no test", fault)
		}
	}
	if len(faults) != len(tested) {
		t.Errorf("plugins/faulty has %d faults, and %d are tested", len(faults), len(tested))
	}
}

// A process that has left the plugin's group is beyond mtt, which does not wait for it either.
func TestRunDoesNotWaitForADaemonOfThePlugin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(b.read("files", "bad", "child")); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	b.expect(0, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=daemon")
	b.expect(0, []string{"has finished already"}, "resume", "bad")
}

func TestExperimentThatNeverCallsResumeIsWarnedOf(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.expect(3, []string{"has not called run.Resume", "a kill loses all"}, "run", pluginPath("faulty"), "--env-var", "FAULTY=ignores-resume")
	if n := strings.Count(r.stderr, "has not called run.Resume"); n != 1 {
		b.Errorf("it is said %d times: %v", n, r)
	}
}

// The errors of a run's end are told once, in the words of the last attempt.
func TestErrorIsToldOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.expect(70, nil, "run", pluginPath("faulty"), "--env-var", "FAULTY=panic")
	if n := strings.Count(r.stderr, "index out of range"); n != 1 {
		b.Errorf("the panic is told %d times: %v", n, r)
	}
}

func TestFileThatIsNoPluginIsRefused(t *testing.T) {
	t.Parallel()
	write := func(b *bench, mode os.FileMode, content string) string {
		path := filepath.Join(filepath.Dir(b.tmp), "file")
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			b.Fatal(err)
		}
		return path
	}
	found := func(b *bench, name string) string {
		path, err := exec.LookPath(name)
		if err != nil {
			b.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		path func(*bench) string
		says []string
	}{
		"text":            {func(b *bench) string { return write(b, 0o644, "some text\n") }, []string{"is no plugin", "not an executable file"}},
		"executable text": {func(b *bench) string { return write(b, 0o755, "some text\n") }, []string{"is no plugin", "neither an executable nor a script"}},
		"script":          {func(b *bench) string { return write(b, 0o755, "#!/bin/sh\necho hello\n") }, []string{`printed "hello" to stdout`}},
		"silent program":  {func(b *bench) string { return found(b, "true") }, []string{"is no plugin", "exited with code 0"}},
		"other program":   {func(*bench) string { return hostPath }, []string{"to stdout where the handshake belongs"}},
		"waiting program": {func(b *bench) string { return write(b, 0o755, "#!/bin/sh\nexec sleep 3600\n") }, []string{"did not answer within 2s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			path := c.path(b)
			r := b.expect(70, append(c.says, "mtt-host: "+path), "run", path, "--start-timeout", "2s")
			if r.stdout != "" || strings.Count(r.stderr, "\n") < 2 {
				b.Errorf("want nothing on stdout, and what to do next on stderr: %v", r)
			}
		})
	}
}

func TestFailedRunGoesOnByResumeOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	again := []string{"run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=error"}
	b.expect(3, nil, again...)
	b.expect(3, []string{"run bad has failed: the experiment failed: the experiment's own failure", "mtt-host resume bad"}, again...)
	if n := len(b.show("bad").Attempts); n != 1 {
		b.Fatalf("%d attempts, want 1: run went on with a run that had failed", n)
	}
	b.expect(0, []string{"resumed from checkpoint", "at step 5"}, "resume", "bad", "--env-var", "FAULTY=none")
	kept, err := os.ReadFile(b.path("runs", "bad", "attempts", "1", "result.json"))
	if err != nil || !strings.Contains(string(kept), `"FAILED"`) {
		b.Errorf("the result of the failed attempt was not kept: %v\n%s", err, kept)
	}
	if shown := b.show("bad"); shown.State != "SUCCEEDED" || shown.Result["count"] != 20 || !shown.Exact {
		b.Errorf("the run came to %+v", shown)
	}
}

func TestRunWhosePluginWasKilledGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(75, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=killed")
	b.expect(0, []string{"resumed from checkpoint", "at step 10"}, "run", pluginPath("faulty"), "--env-var", "FAULTY=none")
	if shown := b.show("bad"); shown.State != "SUCCEEDED" || shown.Result["count"] != 20 || len(shown.Attempts) != 2 {
		b.Errorf("the run came to %+v", shown)
	}
}

// A plugin that does not load the checkpoint would train from step 0 in silence.
func TestPluginThatDoesNotResumeIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(75, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=killed")
	b.expect(3, []string{"checkpoint at step 10", "must call run.Resume"}, "resume", "bad", "--env-var", "FAULTY=ignores-resume")
	b.newestIs("bad", 10)
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    string
		retries  string
		code     int
		attempts []string // state and first step of each
	}{
		"none by default":             {"error", "0", 3, []string{"FAILED from 0"}},
		"progress uses none up":       {"error-twice", "1", 0, []string{"FAILED from 0", "FAILED from 11", "SUCCEEDED from 12"}},
		"a killed plugin":             {"killed-once", "1", 0, []string{"INTERRUPTED from 0", "SUCCEEDED from 10"}},
		"bounded without progress":    {"no-final", "2", 70, []string{"FAILED from 0", "FAILED from 0", "FAILED from 0"}},
		"bounded after some progress": {"error", "1", 3, []string{"FAILED from 0", "FAILED from 5", "FAILED from 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.expect(c.code, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY="+c.fault, "--retries", c.retries)
			var got []string
			for _, attempt := range b.show("bad").Attempts {
				got = append(got, attempt.State+" from "+strconv.FormatInt(attempt.ResumedStep, 10))
			}
			if strings.Join(got, ", ") != strings.Join(c.attempts, ", ") {
				b.Errorf("attempts %q, want %q", got, c.attempts)
			}
			b.verify("bad")
		})
	}
}

// The plugin logs 100,000 points and prints 40 MiB in its 20 steps.
func TestFloodingPluginCostsNeitherMemoryNorDisk(t *testing.T) {
	t.Parallel()
	const mostMemory = 64 << 10 // KiB: about twice what the host has without a flood
	b := newBench(t)
	p := b.start("run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=floods")
	memory := p.peakMemory()
	b.check(p.wait(), 0)
	if memory > mostMemory {
		b.Errorf("the host took %d KiB, want at most %d", memory, mostMemory)
	}
	if size := b.sizeOfLog("bad"); size == 0 || size > mostLog {
		b.Errorf("the log has %d bytes, want at most %d", size, mostLog)
	}
	if shown := b.show("bad"); shown.State != "SUCCEEDED" || shown.Result["count"] != 20 {
		b.Errorf("the run came to %+v", shown)
	}
}

// newestIs wants the newest checkpoint at this step, -1 for none at all, and every one whole.
func (b *bench) newestIs(run string, step int64) {
	b.Helper()
	newest := int64(-1)
	if there := b.checkpoints(run); len(there) > 0 {
		newest = there[0].Step
	}
	if newest != step {
		b.Errorf("the newest checkpoint is at step %d, want %d", newest, step)
	}
	b.verify(run)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// peakMemory is the most that a process has had in memory, in KiB; 0 where the system does not say, or it has ended.
func peakMemory(pid int) int {
	status, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.Atoi(fields[0])
	return kib
}
