package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stopped makes a run of walk that was stopped behind some checkpoints, and returns the arguments that go on with it.
func (b *bench) stopped(name string, more ...string) []string {
	b.Helper()
	args := append([]string{"run", pluginPath("walk"), "--name", name, "-S", "steps=400", "-S", "pause_us=1000", "--checkpoint-every", "20", "--keep", "4"}, more...)
	p := b.start(args...)
	b.eventually("there are four checkpoints", func() bool { return len(manifests(b, name)) >= 4 })
	p.kill()
	return args
}

// alone is the outcome of that run, left alone.
func (b *bench) alone() outcome {
	b.Helper()
	b.expect(0, nil, "run", pluginPath("walk"), "--name", "alone", "-S", "steps=400", "-S", "pause_us=1000")
	return b.outcome("alone")
}

func flip(t *testing.T, path string, random *rand.Rand) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := random.IntN(len(content))
	content[at] ^= 1 << random.IntN(8)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("byte %d of %s", at, filepath.Base(path))
}

func TestBadNewestCheckpointIsSkippedAloudAndTheEndIsEqual(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	alone := b.alone()
	random := rand.New(rand.NewPCG(1, 2))
	damages := map[string]func(dir string) string{
		"cut":     func(dir string) string { return cut(t, filepath.Join(dir, "walkers.f64")) },
		"cut2":    func(dir string) string { return cut(t, filepath.Join(dir, "MANIFEST.json")) },
		"missing": func(dir string) string { return remove(t, filepath.Join(dir, "walkers.f64")) },
	}
	for i := range 4 {
		for _, file := range []string{"MANIFEST.json", "walkers.f64"} {
			damages[fmt.Sprintf("flip%d%c", i, file[0])] = func(dir string) string { return flip(t, filepath.Join(dir, file), random) }
		}
	}
	for name, damage := range damages {
		args := b.stopped(name)
		newest, before := b.checkpoints(name)[0], b.checkpoints(name)[1]
		dir := b.path("checkpoints", name, newest.ID)
		what := damage(dir)
		b.expect(66, []string{newest.ID}, "checkpoints", "verify", name)
		r := b.expect(0, []string{"skipped a bad checkpoint", newest.ID, fmt.Sprintf("resumed from checkpoint %s at step %d", before.ID, before.Step)}, args...)
		if t.Failed() {
			t.Fatalf("damage: %s\n%v", what, r)
		}
		b.equal(b.outcome(name), alone)
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the bad checkpoint was not left in place: %v", err)
		}
		if events := b.log(name, 2); !hasEvent(events, "fellback") {
			t.Errorf("the log does not say that a checkpoint was skipped: %v", events)
		}
	}
}

func hasEvent(events []map[string]any, kind string) bool {
	for _, event := range events {
		if event["kind"] == kind {
			return true
		}
	}
	return false
}

func cut(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path + " cut short"
}

func remove(t *testing.T, path string) string {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return path + " removed"
}

func TestProgressWithoutAGoodCheckpointIsRefused(t *testing.T) {
	b := newBench(t)
	args := b.stopped("r")
	random := rand.New(rand.NewPCG(3, 4))
	for i, c := range b.checkpoints("r") {
		flip(t, b.path("checkpoints", "r", c.ID, []string{"MANIFEST.json", "walkers.f64"}[i%2]), random)
	}
	before := b.tree("r")
	b.expect(66, []string{"no good checkpoint", "--new"}, args...)
	b.expect(66, []string{"no good checkpoint"}, "resume", "r")
	if after := b.tree("r"); after != before {
		t.Errorf("the run was changed:\n%s\nwas\n%s", after, before)
	}
}

// tree lists the checkpoints of a run with their content, and its attempts.
func (b *bench) tree(run string) string {
	b.Helper()
	out, err := exec.Command("sh", "-c", "cd "+b.outputs+" && find checkpoints/"+run+" runs/"+run+"/attempts -name claim.json -o -path 'checkpoints/*' -type f | sort | xargs sha256sum").Output()
	if err != nil {
		b.Fatal(err)
	}
	return string(out)
}

func TestCheckpointOfAnotherIdentityIsNeverLoaded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := filepath.Join(b.tmp, "..", "other") // the same program with other bytes
	code, err := os.ReadFile(pluginPath("walk"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, append(code, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	victims := map[string][]string{}
	for _, name := range []string{"config", "seed", "code", "experiment"} {
		victims[name] = b.stopped("victim-" + name)
	}
	finished := func(name string, args ...string) {
		b.Helper()
		b.expect(0, nil, append([]string{"run", "--name", name}, args...)...)
	}
	finished("config", pluginPath("walk"), "-S", "steps=400", "-S", "pause_us=1000", "-S", "drift=0.5")
	finished("seed", pluginPath("walk"), "-S", "steps=400", "-S", "pause_us=1000", "--seed", "9")
	finished("code", other, "-S", "steps=400", "-S", "pause_us=1000")
	finished("experiment", pluginPath("train"), "-S", "steps=20")
	for name, words := range map[string][]string{
		"config":     {"config.drift", "0.5", "0.01"},
		"seed":       {"seed", "9"},
		"code":       {"plugin_sha256"},
		"experiment": {"experiment", "digits", "walk"},
	} {
		args := victims[name]
		from := b.checkpoints(name)[0].ID
		// As if it were the run's own newest one, but for its manifest, which cannot lie.
		to := b.path("checkpoints", "victim-"+name, from)
		if out, err := exec.Command("cp", "-r", b.path("checkpoints", name, from), to).CombinedOutput(); err != nil {
			t.Fatal(err, string(out))
		}
		before := b.tree("victim-" + name)
		b.expect(65, append(words, "--new"), args...)
		if after := b.tree("victim-" + name); after != before {
			t.Errorf("%s: the run was changed", name)
		}
	}
}

func TestChangedRunIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	args := b.stopped("r")
	path := b.path("runs", "r", "run.json")
	spec, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(spec, []byte(`"drift": 0.01`), []byte(`"drift": 0.02`), 1)
	if bytes.Equal(spec, changed) {
		t.Fatal("there is no drift in run.json")
	}
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	b.expect(65, []string{"run.json was changed"}, args...)
	b.expect(65, []string{"run.json was changed"}, "resume", "r")

	if err := os.WriteFile(path, spec, 0o644); err != nil {
		t.Fatal(err)
	}
	executables, err := filepath.Glob(b.path("bin", "[0-9a-f]*"))
	if err != nil || len(executables) != 1 {
		t.Fatal(executables, err)
	}
	if err := os.Chmod(executables[0], 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(executables[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	file.Close()
	b.expect(65, []string{"was changed", "--plugin"}, "resume", "r")
	r := b.expect(0, nil, args...) // which installs the plugin again
	if !strings.Contains(r.stderr, "resumed from") {
		t.Errorf("the run did not go on: %v", r)
	}
}

// A run that had made progress never begins at step 0 again in silence, whatever of it is gone.
func TestLostProgressIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose  func(b *bench)
		says  string
		named bool // the run can still be named
	}{
		"its checkpoints":                      {func(b *bench) { b.empty("checkpoints", "r"); b.empty("runs", "r", "log") }, "which attempt 1 had saved, is gone", true},
		"its attempts":                         {func(b *bench) { b.empty("runs", "r", "attempts") }, "of which there is no record", true},
		"its run.json, cut":                    {func(b *bench) { cut(b.T, b.path("runs", "r", "run.json")) }, "run.json is damaged", true},
		"its checkpoints, after a resume":      {loseAfterResume, "from which attempt 2 resumed, is gone", true},
		"its run.json, gone":                   {func(b *bench) { remove(b.T, b.path("runs", "r", "run.json")) }, "it is gone, and the run has attempts", true},
		"its run.json, and a name is not used": {func(b *bench) { cut(b.T, b.path("runs", "r", "run.json")) }, "may be the one to go on with", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			args := b.stopped("r")
			c.lose(b)
			if c.named {
				b.expect(66, []string{c.says, "mtt-host run PLUGIN --new"}, "resume", "r")
			} else {
				args = slices.Delete(args, 2, 4) // --name r
			}
			b.expect(66, []string{c.says, "mtt-host run PLUGIN --new"}, args...)
			if !c.named {
				b.expect(0, []string{"from step 0"}, append(args, "--new")...)
			}
		})
	}
}

func TestLostOutputFilesAreSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	args := b.stopped("r")
	if err := os.RemoveAll(b.path("files", "r")); err != nil {
		t.Fatal(err)
	}
	b.expect(0, []string{"what the experiment had written to its output directory is gone"}, args...)
}

// empty removes all that a directory of the outputs holds.
func (b *bench) empty(parts ...string) {
	b.Helper()
	if err := errors.Join(os.RemoveAll(b.path(parts...)), os.Mkdir(b.path(parts...), 0o755)); err != nil {
		b.Fatal(err)
	}
}

// loseAfterResume kills a second attempt before it saves, and removes what it resumed from.
func loseAfterResume(b *bench) {
	p := b.start("resume", "r", "--checkpoint-every", "100000")
	p.waitFor("attempt 2")
	p.kill()
	b.empty("checkpoints", "r")
}
