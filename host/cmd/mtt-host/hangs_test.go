package main_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
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

// strayFile is where a stray of plugins/faulty leaves its process id.
func (b *bench) strayFile() string { return filepath.Join(filepath.Dir(b.tmp), "stray") }

// stray ends the stray, if there is one, when the test does.
func (b *bench) stray() { b.Cleanup(b.endStray) }

func (b *bench) endStray() {
	raw, err := os.ReadFile(b.strayFile())
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(string(raw)); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = os.Remove(b.strayFile())
}
