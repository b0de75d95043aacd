package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hangs are the promises that nothing waits for what will not come.
var hangs = []promise{
	{"a plugin has ended when its process has, whatever keeps its sockets", endsWithPlugin("stray-in-train")},
	{"a plugin has ended when its process has, while it logs metrics", endsWithPlugin("stray-in-metrics")},
	{"a plugin has ended when its process has, in the middle of a save", endsWithPlugin("stray-in-save")},
	{"a plugin has ended when its process has, in the middle of a load", func(b *bench) {
		b.stray()
		b.expect(75, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=stray-in-load", "--env-var", "STRAY="+b.strayFile(), "--stall", "0")
		b.expect(70, []string{"resumed from checkpoint", "ended in the middle of training", "exited with code 1"}, "resume", "r")
	}},
	{"a plugin has ended when its process has, in Describe", func(b *bench) {
		b.stray()
		b.expect(70, []string{"ended in Describe", "exited with code 1"},
			"plugin", "describe", pluginPath("faulty"), "--env-var", "FAULTY=stray-in-describe", "--env-var", "STRAY="+b.strayFile(), "--start-timeout", "10m")
	}},
	{"a plugin has ended when its process has, before its handshake", func(b *bench) {
		b.stray()
		b.expect(70, []string{"failed before its handshake", "exited with code 1"},
			"plugin", "describe", pluginPath("faulty"), "--env-var", "FAULTY=stray-at-start", "--env-var", "STRAY="+b.strayFile(), "--start-timeout", "10m")
	}},
	{"a plugin that does not leave when it has finished is ended", func(b *bench) {
		b.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=never-leaves", "--stall", "0")
	}},
	{"a save that is opened and never begins counts as a stall", stalls("save-nothing")},
	{"a save that ends behind its header counts as a stall", stalls("save-header")},
	{"a save that ends in the middle of a blob counts as a stall", stalls("save-half")},
	{"a load that is never read counts as a stall", func(b *bench) {
		b.expect(75, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=load-half", "--stall", "1s")
		b.expect(70, []string{"resumed from checkpoint", "the plugin has stalled"}, "resume", "r")
	}},
	{"a save behind metrics that were not logged is refused", func(b *bench) {
		b.expect(70, []string{"broke the protocol", "a save behind metric point 1, where 0 were logged"},
			"run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=save-ahead", "--stall", "0")
	}},
	{"the second Ctrl-C ends the host, also while a save hangs", endsAtSecondSignal("save-half")},
	{"the second Ctrl-C ends the host, also while a load hangs", func(b *bench) {
		b.expect(75, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=load-half")
		p := b.start("resume", "r")
		p.waitFor("resumed from checkpoint")
		p.twice()
		b.check(p.wait(), 130)
	}},
	{"a stray process of an ended run is named, and keeps nothing", func(b *bench) {
		p := b.start("run", b.wrapped("faulty"), "--name", "r", "--env-var", "FAULTY=none", "-S", "steps=100000", "--checkpoint-every", "10")
		p.waitFor("saved step 10 ")
		stray := b.strayPID()
		p.signal(syscall.SIGINT)
		b.check(p.wait(), 130)
		b.hasStray("r", "STOPPED", stray)
		b.expect(130, nil, "wait", "r")
		b.expect(0, nil, "stop", "r")
		resumed := b.start("resume", "r")
		resumed.waitFor("resumed from checkpoint")
		b.hasProcess(resumed.stderr.String(), stray)
		resumed.signal(syscall.SIGINT)
		b.check(resumed.wait(), 130)
	}},
	{"a stray process of a finished run is named, and keeps nothing", func(b *bench) {
		b.expect(0, nil, "run", b.wrapped("faulty"), "--name", "r", "--env-var", "FAULTY=none")
		b.hasStray("r", "SUCCEEDED", b.strayPID())
		b.expect(0, []string{"has finished already"}, "resume", "r")
		b.expect(0, nil, "wait", "r")
	}},
	{"a stray process of a killed host's attempt is named, and keeps nothing", func(b *bench) {
		p := b.start("run", b.wrapped("faulty"), "--name", "r", "--env-var", "FAULTY=none", "-S", "steps=1000", "--checkpoint-every", "10")
		p.waitFor("saved step 10 ")
		stray := b.strayPID()
		p.kill()
		b.hasStray("r", "INTERRUPTED", stray)
		r := b.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
		b.hasProcess(r.stderr, stray)
	}},
	{"of two resumes of a killed run, the slower is told at once who was faster", func(b *bench) {
		args := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=4000", "-S", "pause_us=1000", "--checkpoint-every", "20"}
		p := b.start(args...)
		p.waitFor("saved step 20 ")
		p.kill()
		both := []*process{b.start("resume", "r"), b.start("resume", "r")}
		b.eventually("one of them has ended", func() bool { return !both[0].running() || !both[1].running() })
		if both[0].running() {
			both[0], both[1] = both[1], both[0]
		}
		b.check(both[0].wait(), 7, "run r is still running", fmt.Sprintf("process %d", both[1].cmd.Process.Pid), "mtt-host attach r")
		b.check(both[1].wait(), 0)
	}},
	{"a request to stop that comes right before a retry is followed", func(b *bench) { b.stopsBeforeRetry() }},
	{"a request to stop of an ended run is not followed by a later one", func(b *bench) {
		p := b.start("run", pluginPath("walk"), "--name", "r", "-S", "steps=1000", "-S", "pause_us=1000", "--checkpoint-every", "20")
		p.waitFor("saved step 20 ")
		b.write("r", "stop.json", map[string]any{"schema": "mtt.stop/v1", "now": true, "exit_code": 6, "time": time.Now()})
		b.check(p.wait(), 6)
		b.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
	}},
	{"a viewer ends when its reader leaves, also while nothing is printed", func(b *bench) {
		run := b.start("run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=ignores-cancel", "--stall", "0")
		b.eventually("the plugin is quiet", func() bool { return exists(b.path("files", "r", "child")) })
		for _, args := range [][]string{{"attach", "r"}, {"logs", "r", "-f"}, {"wait", "r"}, {"logs", "r", "-f", "-o", "json"}} {
			viewer, reader := b.startRead(args...)
			if args[0] != "wait" {
				if _, err := bufio.NewReader(reader).ReadString('\n'); err != nil {
					b.Fatal(err)
				}
			}
			reader.Close()
			if r := viewer.wait(); r.code != 141 {
				b.Errorf("%v ended with exit code %d, want 141", args, r.code)
			}
		}
		if !run.running() {
			b.Error("the run has ended with its viewers")
		}
		run.twice()
		run.wait()
	}},
	{"a run in the foreground outlives its reader, and exits as it ends", func(b *bench) {
		for fault, code := range map[string]int{"none": 0, "error": 3} {
			for _, format := range []string{"text", "json"} {
				name := fault + "-" + format
				run, reader := b.startRead("run", pluginPath("faulty"), "--name", name, "--env-var", "FAULTY="+fault, "-o", format, "--new=false")
				if _, err := bufio.NewReader(reader).ReadString('\n'); err != nil {
					b.Fatal(err)
				}
				reader.Close()
				if r := run.wait(); r.code != code {
					b.Errorf("run %s ended with exit code %d, want %d", name, r.code, code)
				}
			}
		}
	}},
	{"a log of any size is printed in little memory, from its first line, its last ones, or a time", func(b *bench) {
		b.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-S", "steps=10")
		const events = 300_000
		b.bigLog("r", events)
		for _, c := range []struct {
			lines int
			first string
			args  []string
		}{
			{events, "plugin: line 1 ", []string{"logs", "r"}},
			{10, "plugin: line 299991 ", []string{"logs", "r", "-n", "10"}},
			{100_000, "plugin: line 200001 ", []string{"logs", "r", "-n", "100000"}},
			{1000, "plugin: line 299001 ", []string{"logs", "r", "--since", bigLogTime(events - 1000)}},
		} {
			lines, first, peak := b.measured(c.args...)
			if lines != c.lines || !strings.Contains(first, c.first) {
				b.Errorf("%v prints %d lines from %q, want %d from %q", c.args, lines, first, c.lines, c.first)
			}
			if peak > mostViewed {
				b.Errorf("%v took %d KiB", c.args, peak)
			}
		}
	}},
}

// mostViewed is the most that a viewer may have in memory, in KiB.
const mostViewed = 100_000

// hangsOnModal are promises about runs on Modal.
var hangsOnModal = []struct {
	name string
	hold func(*modalBench)
}{
	{"attach goes on behind a burst that was not kept", func(m *modalBench) {
		m.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "-d", "--env-var", "FAULTY=many-lines", "-S", "steps=100000", "--checkpoint-every", "1s")
		watch := m.startWatch("attach", "r")
		watch.until("plugin: line ")
		watch.until("saved step ")
		watch.until("saved step ")
		watch.leave()
		m.expect(0, nil, "stop", "r")
	}},
	{"attach on a plugin that prints without end goes on in little memory", func(m *modalBench) {
		m.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "-d", "--env-var", "FAULTY=floods", "-S", "steps=40")
		watch := m.startWatch("attach", "r")
		watch.until("plugin: flood")
		m.expect(0, nil, "wait", "r")
		watch.until("checkpoints  ") // which is among its last lines
		if watch.memory > mostViewed {
			m.Errorf("attach took %d KiB", watch.memory)
		}
	}},
}

func TestHangsOnModal(t *testing.T) {
	t.Parallel()
	for _, p := range hangsOnModal {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.hold(newModalBench(t))
		})
	}
}

func TestHangs(t *testing.T) {
	t.Parallel()
	hold(t, hangs)
}

// endsWithPlugin runs a fault of a plugin that exits and leaves a stray behind.
func endsWithPlugin(fault string) func(*bench) {
	return func(b *bench) {
		b.stray()
		b.expect(70, []string{"ended in the middle of training", "exited with code 1"},
			"run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY="+fault, "--env-var", "STRAY="+b.strayFile(), "--stall", "0")
		if state := b.show("r").State; state != "FAILED" {
			b.Errorf("state %s, want FAILED", state)
		}
	}
}

func stalls(fault string) func(*bench) {
	return func(b *bench) {
		b.expect(70, []string{"the plugin has stalled", "for 1s"},
			"run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY="+fault, "--stall", "1s")
	}
}

func endsAtSecondSignal(fault string) func(*bench) {
	return func(b *bench) {
		p := b.start("run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY="+fault)
		p.waitFor("attempt 1 of run r")
		p.twice()
		b.check(p.wait(), 130)
	}
}

// twice asks the host to stop, and then to leave at once.
func (p *process) twice() {
	p.b.Helper()
	p.signal(syscall.SIGINT)
	p.waitFor("asked to stop")
	p.signal(syscall.SIGINT)
}

// startRead starts a command whose stdout and stderr are one pipe, with its reader.
func (b *bench) startRead(args ...string) (*process, *os.File) {
	b.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	b.Cleanup(func() { reader.Close() })
	command := exec.Command(hostPath, args...)
	command.Stdout, command.Stderr = writer, writer
	return b.startCommand(command), reader
}

// bigLog replaces the log of a run's only attempt by one of so many events, one a second.
func (b *bench) bigLog(run string, events int) {
	b.Helper()
	file, err := os.Create(b.path("runs", run, "log", "1.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	to := bufio.NewWriter(file)
	for i := range events {
		kind, message := "plugin", fmt.Sprintf("line %d %s", i+1, strings.Repeat("x", 80))
		if i == events-1 {
			kind, message = "ended", "attempt finished"
		}
		fmt.Fprintf(to, `{"schema":"mtt.event/v1","time":%q,"attempt":1,"seq":%d,"kind":%q,"message":%q}`+"\n", bigLogTime(i), i+1, kind, message)
	}
	if err := errors.Join(to.Flush(), file.Close()); err != nil {
		b.Fatal(err)
	}
}

// bigLogTime is when event i of bigLog was.
func bigLogTime(i int) string {
	return time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC).Format(time.RFC3339)
}

// measured runs a command to its end, and returns how many lines it prints, the first one, and the most that it has had in
// memory, in KiB.
func (b *bench) measured(args ...string) (lines int, first string, peak int) {
	b.Helper()
	viewer, reader := b.startRead(args...)
	for in := bufio.NewScanner(reader); in.Scan(); lines++ {
		if lines == 0 {
			first = in.Text()
		}
		if lines%1000 == 0 {
			peak = max(peak, peakMemory(viewer.cmd.Process.Pid))
		}
	}
	b.check(viewer.wait(), 0)
	return lines, first, peak
}

// watch is a viewer whose lines are read as they come, and not kept.
type watch struct {
	*process
	lines  *bufio.Scanner
	memory int
}

func (b *bench) startWatch(args ...string) *watch {
	b.Helper()
	viewer, reader := b.startRead(args...)
	lines := bufio.NewScanner(reader)
	lines.Buffer(nil, 1<<20)
	return &watch{process: viewer, lines: lines}
}

// until reads on to a line that holds a text.
func (w *watch) until(text string) {
	w.b.Helper()
	found := make(chan bool, 1)
	go func() {
		for w.lines.Scan() {
			w.memory = max(w.memory, peakMemory(w.cmd.Process.Pid))
			if strings.Contains(w.lines.Text(), text) {
				found <- true
				return
			}
		}
		found <- false
	}()
	select {
	case ok := <-found:
		if !ok {
			w.b.Fatalf("%v has ended without a word of %q", w.cmd.Args, text)
		}
	case <-time.After(limit):
		w.kill()
		w.b.Fatalf("%v has not said %q in %s", w.cmd.Args, text, limit)
	}
}

// leave ends the viewer by Ctrl-C.
func (w *watch) leave() {
	w.b.Helper()
	w.signal(syscall.SIGINT)
	go func() {
		for w.lines.Scan() {
		}
	}()
	w.b.check(w.wait(), 130)
}

// wrapped returns a plugin that is a script: it leaves a child in a session of its own, and becomes one of the programs.
func (b *bench) wrapped(name string) string {
	b.Helper()
	b.stray()
	path := filepath.Join(filepath.Dir(b.tmp), "wrapper")
	script := fmt.Sprintf("#!/bin/sh\n[ -z \"$MTT_LOCK_FD\" ] || [ -e %[1]s ] || { setsid sleep 3600 >/dev/null 2>&1 & echo $! > %[1]s; }\nexec %[2]s\n", b.strayFile(), pluginPath(name))
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		b.Fatal(err)
	}
	return path
}

func (b *bench) strayPID() (pid int) {
	b.Helper()
	raw, err := os.ReadFile(b.strayFile())
	if err == nil {
		pid, err = strconv.Atoi(strings.TrimSpace(string(raw)))
	}
	if err != nil {
		b.Fatal(err)
	}
	return pid
}

// hasStray wants every command to say the same of an ended run that has left a stray behind.
func (b *bench) hasStray(run, state string, stray int) {
	b.Helper()
	b.eventually("the run has ended", func() bool { return b.show(run).State == state })
	b.hasProcess(b.expect(0, nil, "show", run, "-o", "json").stdout, stray)
	listed := b.expect(0, nil, "ls")
	b.hasProcess(listed.stderr, stray)
	if !strings.Contains(listed.stdout, state) {
		b.Errorf("ls does not say %s: %v", state, listed)
	}
}

func (b *bench) hasProcess(text string, pid int) {
	b.Helper()
	for _, word := range []string{fmt.Sprintf("process %d (sleep 3600)", pid), fmt.Sprintf("kill %d", pid)} {
		if !strings.Contains(text, word) {
			b.Errorf("want %q in %s", word, text)
		}
	}
}

// stopsBeforeRetry has several runs find a request to stop and the time of a retry at once: their hosts are stopped
// meanwhile.
func (b *bench) stopsBeforeRetry() {
	b.Helper()
	var hosts []*process
	for i := range 6 {
		p := b.start("run", pluginPath("faulty"), "--name", fmt.Sprint("r", i), "--env-var", "FAULTY=error", "--retries", "2")
		hosts = append(hosts, p)
	}
	for _, p := range hosts {
		p.waitFor("the next attempt begins in 1s")
		p.signal(syscall.SIGSTOP)
	}
	time.Sleep(1200 * time.Millisecond) // what the hosts wait for
	for i, p := range hosts {
		b.write(fmt.Sprint("r", i), "stop.json", map[string]any{"schema": "mtt.stop/v1", "exit_code": 6, "time": time.Now()})
		p.signal(syscall.SIGCONT)
	}
	for i, p := range hosts {
		b.check(p.wait(), 6)
		if state := b.show(fmt.Sprint("r", i)).State; state != "STOPPED" {
			b.Errorf("run %d is %s, want STOPPED", i, state)
		}
	}
}

// strayFile is where a stray of plugins/faulty leaves its process id.
func (b *bench) strayFile() string { return filepath.Join(filepath.Dir(b.tmp), "stray") }

// stray ends the stray, if there is one, when the test does.
func (b *bench) stray() { b.Cleanup(b.endStray) }

func (b *bench) endStray() {
	raw, err := os.ReadFile(b.strayFile())
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = os.Remove(b.strayFile())
}
