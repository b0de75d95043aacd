package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// data makes a directory with a list.txt and returns its path.
func (b *bench) data(name, list string) string {
	b.Helper()
	dir := filepath.Join(filepath.Dir(b.tmp), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.txt"), []byte(list), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir
}

func TestExperimentFindsTheDataItWasGiven(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	faulty := []string{"run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=data"}
	// Without the flag, Train fails with the flag's name.
	b.expect(3, []string{`no data named "numbers"`, "--mount DIR:numbers"}, faulty...)

	b.data("first:1", "one")
	b.expect(0, nil, "resume", "r", "--mount", "first:1:numbers") // relative, and with a ':'
	if got := b.read("files", "r", "list.txt"); got != "one" {
		b.Errorf("the experiment read %q, want %q", got, "one")
	}
	if spec := b.read("runs", "r", "run.json"); !strings.Contains(spec, `"numbers": "`+filepath.Join(filepath.Dir(b.tmp), "first:1")+`"`) {
		b.Errorf("run.json does not have the absolute path:\n%s", spec)
	}
}

func TestDataStaysWithTheRunUntilItIsGivenAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	numbers, other := b.data("numbers", "one"), b.data("other", "two")
	b.expect(3, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=error", "--mount", numbers+":numbers", "--mount", other+":other")
	if err := os.Rename(numbers, numbers+".moved"); err != nil {
		t.Fatal(err)
	}
	attempts := len(b.show("r").Attempts)
	b.expect(2, []string{"without its data numbers", "no such file", "mtt-host resume r --mount DIR:numbers"}, "resume", "r", "--env-var", "FAULTY=data")
	if n := len(b.show("r").Attempts); n != attempts {
		b.Errorf("an attempt was made without the data: %d, want %d", n, attempts)
	}
	b.expect(0, nil, "resume", "r", "--env-var", "FAULTY=data", "--mount", numbers+".moved:numbers")
	if got := b.read("files", "r", "list.txt"); got != "one" {
		b.Errorf("the experiment read %q, want %q", got, "one")
	}
	if spec := b.read("runs", "r", "run.json"); !strings.Contains(spec, `"other": "`+other+`"`) {
		b.Errorf("the other data is gone from run.json:\n%s", spec)
	}
}

func TestWrongMountsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.data("data", "one")
	for name, c := range map[string]struct {
		says string
		args []string
	}{
		"no directory":    {"no such file", []string{"--mount", dir + "/nowhere:numbers"}},
		"a file":          {"not a directory", []string{"--mount", dir + "/list.txt:numbers"}},
		"no name":         {"want DIR:NAME", []string{"--mount", dir}},
		"no dir":          {"want DIR:NAME", []string{"--mount", ":numbers"}},
		"an empty name":   {`"" cannot be the name`, []string{"--mount", dir + ":"}},
		"a bad name":      {`"Numbers" cannot be the name`, []string{"--mount", dir + ":Numbers"}},
		"a name as path":  {`"../x" cannot be the name`, []string{"--mount", dir + ":../x"}},
		"the name, twice": {"was given to", []string{"--mount", dir + ":numbers", "--mount", "/:numbers"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.T = t
			b.expect(2, []string{"--mount", c.says}, append([]string{"run", pluginPath("walk")}, c.args...)...)
			if exists(b.path("runs")) {
				entries, err := os.ReadDir(b.path("runs"))
				if err != nil || len(entries) > 0 {
					t.Errorf("a run was made: %v %v", entries, err)
				}
			}
		})
	}
}

// A tree with links that lead nowhere, out of it or round in circles, and with a pipe, is data as any other.
func TestDataMayHaveLinksAndPipes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.data("numbers", "one")
	b.shell(dir, `ln -s nowhere dangling; ln -s loop1 loop2; ln -s loop2 loop1; ln -s self self; ln -s . up; ln -s list.txt/x through; mkfifo pipe; mkdir ../outside; ln -s ../outside out`)
	args := []string{"run", pluginPath("faulty"), "--name", "r", "--exact", "--mount", dir + ":numbers"}
	b.expect(3, nil, append(args, "--env-var", "FAULTY=error")...)
	b.shell(dir, `ln -sfn elsewhere dangling`)
	b.expect(65, []string{"numbers"}, "resume", "r", "--env-var", "FAULTY=data")
	b.shell(dir, `ln -sfn nowhere dangling`)
	b.expect(0, nil, "resume", "r", "--env-var", "FAULTY=data")
}
