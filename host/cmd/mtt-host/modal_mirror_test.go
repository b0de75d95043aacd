package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mirrors are the directories in which commands keep what they have read of volumes.
func (m *modalBench) mirrors() string {
	return filepath.Join(filepath.Dir(m.tmp), ".cache", "mtt", "mirrors")
}

// mirrored finds what is kept of the volume outputs.
func (m *modalBench) mirrored(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(m.mirrors(), "*", pattern))
	return found
}

// tensorBoard makes a program that stands in for TensorBoard, and has tb find it.
func (m *modalBench) tensorBoard(script string) {
	m.Helper()
	path := filepath.Join(m.TempDir(), "tensorboard")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		m.Fatal(err)
	}
	m.env = append(m.env, "MTT_TENSORBOARD="+path)
}

// Event files may take minutes to come for the first time. Nobody waits for them who does not want them.
func TestTensorBoardsDownloadHoldsUpNobody(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.tensorBoard(`n=0; until [ -e "$2/../end" ] || [ $n = 1000 ]; do sleep 0.1; n=$((n+1)); done; ls "$2"`)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	m.expect(0, nil, "logs", "r")
	m.fake.Tell(t, "set", "block-delay=5s")
	board := m.start("tb")
	m.eventually("an event file is coming", func() bool {
		return len(m.mirrored("runs/r/.mtt-partial-*")) > 0 && len(m.mirrored("locks/events/r")) > 0
	})
	board.signal(syscall.SIGSTOP)
	m.fake.Tell(t, "set", "block-delay=0s")
	if len(m.mirrored("runs/r/*.tfevents.*")) > 0 {
		t.Fatal("it has come already")
	}
	m.expect(0, nil, "show", "r")
	m.expect(0, nil, "ls")
	m.expect(0, nil, "logs", "r")
	coming := m.mirrored("runs/r/.mtt-partial-*")
	board.signal(syscall.SIGCONT)

	// What it has fetched grows in its place, so that an open TensorBoard follows.
	var events []string
	m.eventually("the event file is here", func() bool {
		events = m.mirrored("runs/r/*.tfevents.*")
		return len(events) == 1
	})
	before, err := os.Stat(events[0])
	if err != nil {
		t.Fatal(err)
	}
	m.until("it has grown", func() bool {
		now, err := os.Stat(events[0])
		if err == nil && !os.SameFile(before, now) {
			t.Fatal("it was replaced")
		}
		return err == nil && now.Size() > before.Size()
	})
	m.expect(0, nil, "stop", "r")
	for _, unfinished := range coming {
		if _, err := os.Stat(unfinished); err == nil {
			t.Errorf("%s is left", unfinished)
		}
	}

	// What is gone from the volume goes, and what was left unfinished of it.
	m.expect(0, nil, strolls("--name", "s", "-S", "steps=100")...)
	left := filepath.Join(filepath.Dir(events[0]), ".mtt-partial-0123456789abcdef-0123456789abcdef")
	if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.expect(0, nil, "show", "r")
	if _, err := os.Stat(left); err == nil {
		t.Error("an unfinished file is left of one that is not on the volume")
	}
	m.until("tb has the second run", func() bool { return len(m.mirrored("runs/s/*.tfevents.*")) > 0 })
	m.expect(0, nil, "volume", "rm", "-r", "outputs", "runs/r")
	m.until("tb has removed the first", func() bool { return len(m.mirrored("runs/r")) == 0 })
	for _, mirror := range m.mirrored("runs") {
		if err := os.WriteFile(filepath.Join(filepath.Dir(mirror), "end"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := board.wait(); r.code != 0 || r.stdout != "s\n" {
		t.Errorf("want the run that is left; tb has shown %v", r)
	}
	if left := m.mirrored("locks/*/r"); len(left) > 0 {
		t.Errorf("locks of a run that is gone are left: %q", left)
	}
}

func TestTensorBoardOnModalSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	env := m.env
	m.tensorBoard(`ls "$2"`)
	m.fake.MustModal(t, "volume", "create", "outputs", "--version", "2")
	if r := m.expect(0, nil, "tb"); r.stdout != "" { // there is no run yet
		t.Errorf("tb has shown %q", r.stdout)
	}
	m.expect(5, []string{"no run nosuch in volume outputs", "mtt-host ls"}, "tb", "nosuch")
	m.expect(2, []string{`"no/such"`}, "tb", "no/such")
	m.expect(0, nil, strolls("--name", "r", "-S", "steps=100")...)
	if r := m.expect(0, nil, "tb", "r", "r"); r.stdout != "r\n" {
		t.Errorf("tb has shown %q", r.stdout)
	}
	home := t.TempDir()
	m.env = append(env, "PATH="+home, "HOME="+home)
	m.expect(5, []string{"there is no TensorBoard here", "pip install tensorboard"}, "tb")
	if fetched, _ := filepath.Glob(filepath.Join(home, ".cache", "mtt", "mirrors", "*", "runs", "r", "*.tfevents.*")); len(fetched) > 0 {
		t.Errorf("without a TensorBoard, tb has fetched %q", fetched)
	}
}

// Volumes are deleted, and nobody says so to the machines that have read them.
func TestMirrorsThatNobodyUsesAreRemoved(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	for name, unused := range map[string]time.Duration{"vo-old": 31 * 24 * time.Hour, "vo-young": 29 * 24 * time.Hour} {
		dir := filepath.Join(m.mirrors(), name)
		if err := os.MkdirAll(filepath.Join(dir, "runs", "r"), 0o700); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-unused)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
	}
	m.fake.MustModal(t, "volume", "create", "outputs", "--version", "2")
	m.expect(0, nil, "ls")
	left, err := os.ReadDir(m.mirrors())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range left {
		names = append(names, entry.Name())
	}
	if len(names) != 2 || strings.Contains(strings.Join(names, " "), "vo-old") {
		t.Errorf("want the one that was used this month and our own; there are %q", names)
	}
}

// Commands of one machine write the same files at the same time, and each reads whole ones.
func TestCommandsThatReadTheSameRunAtOnce(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "error-rate=0.05")
	m.expect(0, nil, strolls("--name", "r", "-d")...)
	m.expect(0, nil, "wait", "r")
	for _, there := range []*modalBench{m.elsewhere(), m.elsewhere()} { // nothing is there yet
		there.tensorBoard(`cat "$2"/r/*.tfevents.* | wc -c`)
		said := map[string]string{}
		var running []*process
		for range 3 {
			for _, args := range [][]string{{"show", "r", "-o", "json"}, {"logs", "r", "-o", "json"}, {"tb", "r"}, {"ls", "-o", "json"}, {"stop", "r"}} {
				running = append(running, there.start(args...))
			}
		}
		for _, p := range running {
			r := p.wait()
			m.check(r, 0)
			command := p.cmd.Args[1]
			if was, ok := said[command]; ok && was != r.stdout || r.stdout == "" {
				t.Errorf("%s has printed\n%s\nand beside it\n%s", command, r.stdout, was)
			}
			said[command] = r.stdout
		}
	}
}
