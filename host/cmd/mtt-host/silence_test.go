package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing that a user would want to know goes by without a word.
var silence = []promise{
	{"run after a failure is refused with its exit code until resume or --new says what is wanted", runAfterFailure},
	{"which of several runs of one identity ended last decides, not which began last", lastEndDecides},
	{"a loop around run does not start over, and one around resume goes on", loopsDoNotStartOver},
	{"run after a failure is refused on Modal too", runAfterFailureOnModal},
	{"a message lists a few runs and counts the others", manyUnfinishedRuns},
}

func TestSilence(t *testing.T) {
	t.Parallel()
	hold(t, silence)
}

// faulty are the arguments of a run of plugins/faulty with one fault.
func faulty(fault string, more ...string) []string {
	return append([]string{"run", pluginPath("faulty"), "--env-var", "FAULTY=" + fault}, more...)
}

func runAfterFailure(b *bench) {
	b.expect(3, nil, faulty("error", "--name", "bad")...)
	refused := []string{"run bad has failed: the experiment failed", "mtt-host resume bad", "mtt-host run PLUGIN --new"}
	b.expect(3, refused, faulty("none")...)
	b.expect(3, refused, faulty("none", "-d")...)
	b.expect(3, refused, faulty("none", "--dry-run")...)
	b.expect(3, refused, faulty("none", "--dry-run", "--name", "bad")...)
	if runs := b.runs(); len(runs) != 1 {
		b.Fatalf("%d runs, want 1: %+v", len(runs), runs)
	}
	b.expect(0, nil, faulty("none", "--seed", "1")...) // another identity
	b.expect(75, nil, faulty("killed", "--new", "--name", "other")...)
	b.expect(0, []string{"going on with run other"}, faulty("none")...)
	b.expect(0, nil, faulty("none", "--name", "another")...)
}

func lastEndDecides(b *bench) {
	b.expect(70, nil, faulty("panic", "--name", "older")...)
	b.expect(3, nil, faulty("error", "--name", "newer")...)
	b.expect(3, []string{"run newer has failed"}, faulty("none")...)
	b.expect(0, nil, "resume", "newer", "--env-var", "FAULTY=none")
	if r := b.expect(0, nil, faulty("none", "-o", "json")...); decode[runInfo](b, r.stdout).RunID == "newer" {
		b.Errorf("a run that has succeeded goes on: %v", r)
	}
	b.expect(70, nil, "resume", "older")
	b.expect(70, []string{"run older has failed"}, faulty("none")...)
}

func loopsDoNotStartOver(b *bench) {
	count := `n=0; until "$@"; do n=$((n+1)); [ $n -lt 3 ] || exit 9; done`
	loop := func(args ...string) result {
		return b.startCommand(exec.Command("/bin/sh", append([]string{"-c", count, "sh", hostPath}, args...)...)).wait()
	}
	fails := faulty("error", "-S", "steps=30")
	b.check(loop(fails...), 9, "has failed")
	runs := b.runs()
	if len(runs) != 1 || len(runs[0].Attempts) != 1 {
		b.Fatalf("the loop has made %d runs: %+v", len(runs), runs)
	}
	b.check(loop("resume", runs[0].RunID), 9, "resumed from checkpoint")
	if shown := b.show(runs[0].RunID); len(shown.Attempts) != 4 {
		b.Errorf("%d attempts, want 4", len(shown.Attempts))
	}
}

func runAfterFailureOnModal(b *bench) {
	m := newModalBench(b.T)
	m.expect(3, nil, faulty("error", "--name", "bad")...)
	m.expect(3, []string{"run bad has failed", "mtt-host resume bad -b modal"}, faulty("none", "-d", "-b", "modal")...)
}

func manyUnfinishedRuns(b *bench) {
	many := 200
	if os.Getenv("MTT_SOAK") != "" {
		many = 10_000
	}
	b.expect(75, nil, faulty("killed", "--name", "u0")...)
	var spec map[string]any
	if err := json.Unmarshal([]byte(b.read("runs", "u0", "run.json")), &spec); err != nil {
		b.Fatal(err)
	}
	for i := 1; i < many; i++ {
		spec["run_id"] = fmt.Sprintf("u%d", i)
		raw, err := json.Marshal(spec)
		if err != nil {
			b.Fatal(err)
		}
		dir := b.path("runs", fmt.Sprintf("u%d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "run.json"), raw, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	more := fmt.Sprintf("and %d more", many-5)
	r := b.expect(2, []string{fmt.Sprintf("%d runs", many), more, "mtt-host resume RUN"}, faulty("none")...)
	if len(r.stderr) > 1000 {
		b.Errorf("%d bytes on stderr: %.2000s", len(r.stderr), r.stderr)
	}
	other := filepath.Join(filepath.Dir(b.tmp), "other")
	if err := copyExecutable(pluginPath("faulty"), other); err != nil {
		b.Fatal(err)
	}
	r = b.expect(0, []string{"a new run, since the plugin's code is not that of the unfinished", more}, "run", other, "--env-var", "FAULTY=none")
	if strings.Count(r.stderr, ", u") > 10 {
		b.Errorf("all are listed: %.2000s", r.stderr)
	}
}

// copyExecutable makes one with other content that does the same.
func copyExecutable(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(raw, 0), 0o755)
}
