package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// paste does what an error says is to be done next: the command at the end of the line that has these words.
func (b *bench) paste(r result, words string) result {
	b.Helper()
	for line := range strings.Lines(r.stdout + r.stderr) {
		before, command, ok := strings.Cut(strings.TrimSpace(line), "mtt-host ")
		if ok && strings.Contains(before, words) {
			return b.startCommand(exec.Command("sh", "-c", shellWord(hostPath)+" "+command)).wait()
		}
	}
	b.Fatalf("want a command behind %q; got %v", words, r)
	return result{}
}

func shellWord(text string) string { return "'" + text + "'" }

// What an error or show says is to be done works as it stands, on the runs and volumes that the command worked on.
func TestWhatIsToBeDoneNextWorksWhenItIsPasted(t *testing.T) {
	t.Parallel()
	t.Run("here", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		outputs := filepath.Join(filepath.Dir(b.tmp), "other outputs")
		b.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-S", "steps=1000000", "-d", "--outputs", outputs)
		b.check(b.paste(b.run("volume", "rm", outputs, "runs", "-r"), "Stop it first"), 0)
		b.check(b.paste(b.run("show", "nosuch", "--outputs", outputs), "See which"), 0)
		b.check(b.paste(b.run("volume", "get", outputs, "nosuch", "."), "See what there is"), 0)
	})
	t.Run("on Modal", func(t *testing.T) {
		t.Parallel()
		m := newModalBench(t)
		m.env = append(m.env, "MTT_BACKEND=")
		on := func(args ...string) []string { return append(args, "-b", "modal") }
		m.expect(0, nil, on(endless("--name", "r", "-d", "--volume", "other")...)...)
		stopped := m.paste(m.run(on("volume", "rm", "other", "runs", "-r")...), "Stop it first")
		m.check(stopped, 0)
		if !strings.HasPrefix(stopped.stdout, "r STOPPED") {
			t.Errorf("stop has printed %v", stopped)
		}
		m.check(m.paste(m.run(on("volume", "ls", "other", "nosuch")...), "See what there is"), 0)
		m.check(m.paste(m.run(on("show", "nosuch", "--volume", "other")...), "See which"), 0)
		m.check(m.paste(m.run(on("volume", "rm", "other", "nosuch")...), "See what there is"), 0)
		r := m.run(on("ls")...)
		if !strings.Contains(r.stderr, "mtt-host run PLUGIN -b modal\n") { // and not twice
			t.Errorf("ls says %v", r)
		}
		// The supervisor is gone: show says what to do, and that works too.
		m.expect(0, nil, on("resume", "r", "-d", "--volume", "other")...)
		m.until("it trains", func() bool {
			return strings.Contains(m.run(on("show", "r", "--volume", "other")...).stdout, "RUNNING")
		})
		m.fake.Tell(t, "preempt", supervisorName("r", 2))
		var shown result
		m.until("the supervisor is missed", func() bool {
			shown = m.run(on("show", "r", "--volume", "other")...)
			return strings.Contains(shown.stdout, "its supervisor has left")
		})
		command := shown.stdout[strings.Index(shown.stdout, "mtt-host resume r"):]
		command, _, _ = strings.Cut(strings.TrimPrefix(command, "mtt-host "), "\n")
		m.check(m.run(append(strings.Fields(command), "-d")...), 0)
		m.expect(0, nil, on("stop", "r", "--volume", "other")...)
	})
}
