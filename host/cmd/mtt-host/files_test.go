package main_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
	{"what changes without another size or time is kept as it is then", keepsWhatChanged},
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

// keepsWhatChanged changes the output directory of a plugin, and looks at what is kept, and at what the next attempt has.
func keepsWhatChanged(b *bench) {
	p := b.start("run", pluginPath("samples"), "--name", "r", "-S", "steps=1000000", "-S", "pause_ms=5", "--checkpoint-every", "5")
	b.eventually("it trains", func() bool { return len(manifests(b, "r")) > 0 })
	kept, output := b.path("files", "r"), fmt.Sprintf("/proc/%d/cwd", b.pluginPID("r", 1))
	b.shell(output, `mkdir -p d1 d2/below l1 && for f in a b swapped mode reset d1/x d2/below/x l1/x; do echo "was $f" > "$f"; touch -d @1000000000 "$f"; done
		echo "was b" > b; touch -d @1000000000 b; ln -s a l2; echo f > f1; chmod 644 mode; chmod 755 d2/below; sleep 0.1`)
	b.eventually("all is kept", func() bool { return b.sameTree(kept, output) })
	b.shell(output, `mv a c && mv b a && mv c b; chmod 751 mode; chmod 711 d2/below; echo "new reset" | head -c 10 > reset; touch -d @1000000000 reset
		rm -r d1 l1 l2 f1; echo file > d1; ln -s d2 l1; mkdir l2 f1; echo y > l2/y; echo z > f1/z`)
	b.eventually("what has changed is kept", func() bool { return b.sameTree(kept, output) })
	p.kill()
	again := b.start("resume", "r")
	b.eventually("it goes on", func() bool { return b.pluginPID("r", 2) != 0 })
	output = fmt.Sprintf("/proc/%d/cwd", b.pluginPID("r", 2))
	b.eventually("the next attempt has it", func() bool { return b.sameTree(kept, output) })
	if got := b.shell(output, `cat a b reset d1 l1/below/x l2/y f1/z; stat -c %a mode d2/below`); got != "was b\nwas a\nnew reset\nfile\nwas d2/below/x\ny\nz\n751\n711\n" {
		b.Errorf("the next attempt has %q", got)
	}
	again.signal(syscall.SIGTERM)
	b.check(again.wait(), 130)
}

// shell runs a script in a directory, and returns what it prints.
func (b *bench) shell(dir, script string) string {
	b.Helper()
	command := exec.Command("sh", "-ec", script)
	command.Dir = dir
	said, err := command.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, said)
	}
	return string(said)
}

// sameTree says whether two directories have the same files, links and directories, without those of samples, which change
// all the time.
func (b *bench) sameTree(one, other string) bool {
	list := `for f in $(find . -mindepth 1 ! -path './samples*' ! -name latest ! -name '.mtt-*' | sort); do
		stat -c '%n %F %a %N' $f; if [ -f $f ]; then cat $f; fi; done 2>&1 || true`
	return b.shell(one, list) == b.shell(other, list)
}
