package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// outputFiles are promises about what an experiment writes to its output directory.
var outputFiles = []promise{
	{"what an experiment removed does not come back", func(b *bench) {
		args := []string{"run", pluginPath("samples"), "--name", "r", "-S", "steps=60", "--checkpoint-every", "5"}
		p := b.start(append(args, "-S", "pause_ms=20")...)
		b.eventually("there are checkpoints", func() bool { return len(manifests(b, "r")) > 2 })
		p.kill()
		b.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
		if got := b.show("r").Result["samples"]; got != 3 {
			b.Errorf("the experiment found %v samples in its output directory", got)
		}
		want := map[string]string{}
		for step := 58; step <= 60; step++ {
			want[fmt.Sprintf("samples/%06d.txt", step)] = fmt.Sprint("sample ", step)
		}
		kept := b.path("files", "r")
		if to, err := os.Readlink(filepath.Join(kept, "latest")); err != nil || to != "samples/000060.txt" {
			b.Errorf("the link leads to %q: %v", to, err)
		}
		got := b.files(kept)
		delete(got, "latest")
		if !maps.Equal(got, want) {
			b.Errorf("kept %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}},
	{"what cannot be kept is warned of once", func(b *bench) {
		r := b.expect(0, nil, "run", pluginPath("samples"), "--name", "r", "-S", "odd=true", "--checkpoint-every", "5")
		for _, name := range []string{"/pipe is no regular file (a pipe)", "/absolute is a link", "/outside is a link", `caf\xe9": its name is not UTF-8`} {
			if n := strings.Count(r.stderr, name); n != 1 {
				b.Errorf("%q is said %d times:\n%s", name, n, r.stderr)
			}
		}
	}},
}

func TestOutputFilesAreThoseOfTheExperiment(t *testing.T) {
	t.Parallel()
	hold(t, outputFiles)
}

// The same holds on Modal, where the directory is one of a mount.
func TestOutputFilesOnModalAreThoseOfTheExperiment(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, "run", pluginPath("samples"), "--name", "r", "-d", "-S", "steps=200", "-S", "pause_ms=20", "-S", "odd=true", "--checkpoint-every", "10")
	m.saved("r", 20)
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.expect(0, nil, "wait", "r")
	if got := m.show("r"); got.Result["samples"] != 3 || len(got.Attempts) != 2 {
		t.Errorf("the experiment found %v samples, in %d attempts", got.Result["samples"], len(got.Attempts))
	}
	home := m.dir("home")
	m.expect(0, nil, "volume", "get", "outputs", "files/r", home)
	if got := slices.Sorted(maps.Keys(m.files(filepath.Join(home, "r", "samples")))); len(got) != 3 {
		t.Errorf("the volume has %v", got)
	}
}
