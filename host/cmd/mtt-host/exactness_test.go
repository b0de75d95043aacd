package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// exactness is what mtt promises of its claim that a resumed run equals one that was left alone.
var exactness = []promise{
	{"what can change a bit is refused under --exact, whichever way it comes", refusesEachChange},
	{"what can change a bit goes on aloud, and exact is false from then on", saysEachChange},
	{"what changes no bit costs no exactness", passesOverTheRest},
	{"a variable is the same from the shell and by --env-var, and flags in any order", sameVariables},
	{"data is compared by its contents under --exact, and otherwise by source, sizes and times", comparesData},
	{"damaged curves end the claim for good", remembersDamagedCurves},
	{"a result that is not what its final checkpoint says is said", comparesResults},
	{"a failure that is not what its attempt's end says is said", comparesFailures},
	{"a result without its final checkpoint is not vouched for", missesFinalCheckpoint},
}

func TestExactnessIsClaimedOnlyWhereItHolds(t *testing.T) { hold(t, exactness) }

// resume are the arguments that go on with a run.
func resume(run string, more ...string) []string { return append([]string{"resume", run}, more...) }

// with is the bench with more variables in the shell.
func (b *bench) with(env ...string) *bench {
	other := *b
	other.env = append(slices.Clone(b.env), env...)
	return &other
}

// rewrite changes the record of a run, and returns a function that changes it back.
func (b *bench) rewrite(path, from, to string) (undo func()) {
	b.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	after := bytes.Replace(before, []byte(from), []byte(to), 1)
	if bytes.Equal(before, after) {
		b.Fatalf("%s has no %q:\n%s", path, from, before)
	}
	write := func(content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	write(after)
	return func() { write(before) }
}

// recorded is the key of an attempt, as start.json has it.
func (b *bench) recorded(run, attempt string) map[string]any {
	b.Helper()
	return decode[struct{ Exactness map[string]any }](b, b.read("runs", run, "attempts", attempt, "start.json")).Exactness
}

func refusesEachChange(b *bench) {
	library := filepath.Join(b.data("lib", "no library"), "libm.so.6")
	b.writeAs(library, "another libm", 0o644)
	flags := filepath.Join(b.data("flags", ""), "flags")
	b.writeAs(flags, "--xla_cpu_enable_fast_math=true\n", 0o644)
	b.stopped("r")
	start := b.path("runs", "r", "attempts", "1", "start.json")
	for _, c := range []struct {
		says []string
		args []string // of resume
		env  []string // of the shell
		from string   // in start.json, as another machine would have written it
		to   string
	}{
		{says: []string{`XLA_FLAGS: was unset, is "--xla_cpu_enable_fast_math=true"`}, args: []string{"--env-var", "XLA_FLAGS=--xla_cpu_enable_fast_math=true"}},
		{says: []string{`XLA_FLAGS: was unset, is "--xla_cpu_enable_fast_math=true"`}, env: []string{"XLA_FLAGS=--xla_cpu_enable_fast_math"}},
		{says: []string{`XLA_FLAGS: was unset, is "` + flags}, env: []string{"XLA_FLAGS=" + flags}},
		{says: []string{`NVIDIA_TF32_OVERRIDE: was unset, is "0"`}, env: []string{"NVIDIA_TF32_OVERRIDE=0"}},
		{says: []string{`OMP_NUM_THREADS: was unset, is "3"`, `OPENBLAS_CORETYPE: was unset, is "Haswell"`}, args: []string{"--env-var", "OMP_NUM_THREADS=3"}, env: []string{"OPENBLAS_CORETYPE=Haswell"}},
		{says: []string{`MKL_CBWR: was unset`}, env: []string{"MKL_CBWR=AVX2"}},
		{says: []string{`GOMLX_SIMD_AVX2: was unset`}, env: []string{"GOMLX_SIMD_AVX2=0"}},
		{says: []string{`TF_ENABLE_ONEDNN_OPTS: was unset`}, env: []string{"TF_ENABLE_ONEDNN_OPTS=0"}},
		{says: []string{`GODEBUG: was unset, is "cpu.avx2=off,cpu.fma=off"`}, args: []string{"--env-var", "GODEBUG=cpu.fma=off,cpu.avx2=off"}},
		{says: []string{"shared libraries: was none, is "}, env: []string{"LD_LIBRARY_PATH=" + filepath.Dir(library)}},
		{says: []string{"CPU: was", "stepping 99, is"}, from: `"stepping": "`, to: `"stepping": "99", "was": "`},
		{says: []string{"CPU features: was avx512_newer, is none"}, from: `"features": "`, to: `"features": "avx512_newer `},
		{says: []string{"device model: was unknown, is "}, from: `"device_model": "`, to: `"device_model": "unknown", "was": "`},
		{says: []string{"GPU driver: was 535.1, is none"}, from: `"goarch"`, to: `"gpu_driver": "535.1", "goarch"`},
		{says: []string{"number of devices: was 2, is none"}, from: `"goarch"`, to: `"devices": 2, "goarch"`},
		{says: []string{"GOARCH: was riscv64, is "}, from: `"goarch": "`, to: `"goarch": "riscv64", "was": "`},
		{says: []string{"plugin: was 0123456789ab, is "}, from: `"plugin_sha256": "`, to: `"plugin_sha256": "0123456789ab", "was": "`},
		{says: []string{"device: was cpu, is go"}, from: `"device": "go",
    "device_model"`, to: `"device": "cpu",
    "device_model"`},
		{says: []string{"unrecorded by an older mtt-host: ", "CPU features", "variables", "data"}, from: `"version": 2`, to: `"version": 1`},
		{says: []string{"recorded by a newer mtt-host: parts of version 99"}, from: `"version": 2`, to: `"version": 99`},
	} {
		undo := func() {}
		if c.from != "" {
			undo = b.rewrite(start, c.from, c.to)
		}
		b.with(c.env...).expect(65, append(c.says, "run r is to be exact, and cannot be: attempt 2: ", "--exact=false"), resume("r", append(c.args, "--exact")...)...)
		undo()
	}
	if n := attemptsOf(b, "r"); n != 1 {
		b.Errorf("refusals made attempts: there are %d", n)
	}
	b.expect(0, nil, resume("r", "--exact")...)
	if info := b.show("r"); !info.Exact || info.ExactVerified || info.ExactReason != "" || !reflect.DeepEqual(info.Exactness, b.recorded("r", "2")) {
		b.Errorf("unchanged, exact is %v, verified %v, because %q, under %v", info.Exact, info.ExactVerified, info.ExactReason, info.Exactness)
	}
	if said := b.expect(0, nil, "show", "r").stdout; !strings.Contains(said, "claimed by the author") || !strings.Contains(said, "exactness key\n  plugin  ") {
		b.Errorf("show does not say who vouches, and for what:\n%s", said)
	}
}

func saysEachChange(b *bench) {
	b.stopped("r")
	next := b.with("OMP_NUM_THREADS=3").start(resume("r", "--env-var", "XLA_FLAGS=--a=1")...)
	next.waitFor(`warning: attempt 2: OMP_NUM_THREADS: was unset, is "3"; XLA_FLAGS: was unset, is "--a=1": exactness is not claimed`)
	b.eventually("attempt 2 has saved", func() bool { return exists(b.path("runs", "r", "attempts", "2", "saved.json")) })
	next.kill()
	// It goes on as before, and what came between is in its weights.
	b.with("OMP_NUM_THREADS=3").expect(65, []string{"attempt 2: OMP_NUM_THREADS: was unset"}, resume("r", "--exact")...)
	b.with("OMP_NUM_THREADS=3").expect(0, []string{"exactness is not claimed"}, resume("r", "--exact=false")...)
	info := b.show("r")
	if info.Exact || !strings.Contains(info.ExactReason, `attempt 2: OMP_NUM_THREADS: was unset, is "3"`) {
		b.Errorf("exact is %v, because %q", info.Exact, info.ExactReason)
	}
	if said := b.expect(0, nil, "show", "r").stdout; !strings.Contains(said, "no, because attempt 2: OMP_NUM_THREADS") {
		b.Errorf("show does not say why the run is not exact:\n%s", said)
	}
}

func passesOverTheRest(b *bench) {
	b.with("CUDA_VISIBLE_DEVICES=0", "TF_CPP_MIN_LOG_LEVEL=0").expect(0, nil, "run", pluginPath("walk"), "--name", "alone", "-S", "steps=400", "-S", "pause_us=1000")
	b.stopped("r")
	changed := b.with("CUDA_VISIBLE_DEVICES=1", "NVIDIA_VISIBLE_DEVICES=all", "TF_CPP_MIN_LOG_LEVEL=3", "LD_LIBRARY_PATH="+b.tmp, "GODEBUG=cpu.all=off", "GOMAXPROCS=1",
		"XLA_FLAGS= --xla_dump_to=/nowhere", "GOMLX_BACKEND=go", "LANG=C", "TF_VAR_region=x", "NVIDIA_API_KEY=k", "NPROC=7", "UNRELATED=1")
	changed.expect(0, nil, resume("r", "--exact", "--env-var", "WALK=/other/path", "--env-var", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "--device", "go", "--keep", "2")...)
	b.equal(b.outcome("r"), b.outcome("alone"))
	if variables := b.recorded("r", "2")["variables"]; variables != nil {
		b.Errorf("recorded are %v", variables)
	}
}

func sameVariables(b *bench) {
	args := b.with("OMP_NUM_THREADS=3", "XLA_FLAGS=--b=1 --a --b=2").stopped("r")
	b.expect(65, []string{`OMP_NUM_THREADS: was "3", is unset`, `XLA_FLAGS: was "--a=true --b=1 --b=2", is unset`}, append(args, "--exact")...)
	b.expect(65, []string{`XLA_FLAGS: was "--a=true --b=1 --b=2", is "--a=true --b=2 --b=1"`}, resume("r", "--exact", "--env-var", "OMP_NUM_THREADS=3", "--env-var", "XLA_FLAGS=--b=2 --b=1 --a=true")...)
	passed := b.with("OMP_NUM_THREADS=3") // whose value is not to be recorded
	passed.expect(0, nil, resume("r", "--exact", "--env-var", "OMP_NUM_THREADS", "--env-var", "XLA_FLAGS=--a=true  --b=1 --b=2")...)
	if info := b.show("r"); !info.Exact {
		b.Errorf("exact is false, because %q", info.ExactReason)
	}
	variables, _ := b.recorded("r", "2")["variables"].(map[string]any)
	if value, _ := variables["OMP_NUM_THREADS"].(string); !strings.HasPrefix(value, "sha256:") {
		b.Errorf("of a variable that is passed on is recorded %q", value)
	}
}

func comparesData(b *bench) {
	first, equal, other := b.data("first", "one"), b.data("equal", "one"), b.data("other", "two")
	later := func(path string) {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chtimes(path, info.ModTime(), info.ModTime().Add(1e9))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.stopped("contents", "--exact", "--mount", first+":numbers")
	b.stopped("times", "--mount", first+":numbers")
	b.expect(65, []string{"data numbers: its contents were ", ", are "}, resume("contents", "--mount", other+":numbers")...)
	b.expect(65, []string{"data more: was none, is " + other}, resume("contents", "--mount", other+":more")...)
	b.expect(65, []string{"data numbers: was " + first + ", is " + equal, "contents were not compared"}, resume("times", "--exact", "--mount", equal+":numbers")...)

	later(filepath.Join(first, "list.txt"))
	b.expect(65, []string{"data numbers: a file of " + first + " has another path, size or time"}, resume("times", "--exact")...)
	undo := b.rewrite(filepath.Join(first, "list.txt"), "one", "eno") // of the same size
	b.expect(65, []string{"data numbers: its contents were"}, resume("contents")...)
	undo()
	b.writeAs(filepath.Join(first, "added"), "", 0o644)
	b.expect(65, []string{"data numbers: its contents were"}, resume("contents")...)
	if err := os.Remove(filepath.Join(first, "added")); err != nil {
		b.Fatal(err)
	}
	b.expect(0, nil, resume("contents", "--mount", equal+":numbers")...) // elsewhere, with another time
	if info := b.show("contents"); !info.Exact {
		b.Errorf("with equal data, exact is false, because %q", info.ExactReason)
	}
	b.expect(0, []string{"data numbers: ", "exactness is not claimed"}, resume("times")...)
	if info := b.show("times"); info.Exact || !strings.Contains(info.ExactReason, "data numbers") {
		b.Errorf("with data of which nothing is known, exact is %v, because %q", info.Exact, info.ExactReason)
	}
}

func remembersDamagedCurves(b *bench) {
	b.stopped("r")
	files, _ := filepath.Glob(b.path("runs", "r", "events.out.tfevents.*"))
	content := []byte(b.read("runs", "r", filepath.Base(files[0])))
	content[len(content)/4] ^= 1 // far before the newest checkpoint
	b.writeAs(files[0], string(content), 0o644)
	b.expect(65, []string{"part of the curves is lost", filepath.Base(files[0])}, resume("r", "--exact")...)
	next := b.start(resume("r")...)
	next.waitFor("warning: attempt 2: part of the curves is lost: event file " + files[0])
	next.waitFor("exactness is not claimed")
	b.eventually("attempt 2 has saved", func() bool { return exists(b.path("runs", "r", "attempts", "2", "saved.json")) })
	next.kill()
	b.expect(65, []string{"attempt 2: part of the curves is lost"}, resume("r", "--exact")...)
	b.expect(0, nil, resume("r", "--exact=false")...)
	if info := b.show("r"); info.Exact || !strings.Contains(info.ExactReason, "attempt 2: part of the curves is lost") {
		b.Errorf("exact is %v, because %q", info.Exact, info.ExactReason)
	}
}

// vouchedFor wants each command that prints how a run has ended to exit with a code and to say these words.
func (b *bench) vouchedFor(code int, words []string, commands ...[]string) {
	b.Helper()
	for _, command := range commands {
		b.expect(code, words, command...)
	}
}

func comparesResults(b *bench) {
	args := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=20", "-S", "pause_us=0"}
	b.expect(0, nil, args...)
	commands := [][]string{{"show", "r"}, {"show", "r", "-o", "json"}, {"wait", "r"}, {"attach", "r"}, args}
	result := b.path("runs", "r", "result.json")
	for _, c := range []struct{ from, to, says string }{
		{`"mean_square": `, `"mean_square": 1`, "mean_square: result.json has 1"},
		{`"mean_square": `, `"accuracy": 1, "mean_square": `, "accuracy: result.json has 1, checkpoint walk-000000000020-"},
		{`"step": 20`, `"step": 21`, "step: result.json has 21, checkpoint walk-000000000020-"},
		{`"exit_code": 0`, `"exit_code": 3`, "exit code: result.json has 3"},
	} {
		undo := b.rewrite(result, c.from, c.to)
		b.vouchedFor(66, []string{"the result of run r is not what it was made from", c.says, "mtt-host resume r"}, commands...)
		undo()
	}
	b.vouchedFor(0, nil, commands...)
	// What is to be done helps.
	undo := b.rewrite(result, `"mean_square": `, `"mean_square": 1`)
	edited := b.read("runs", "r", "result.json")
	if err := os.Remove(result); err != nil {
		b.Fatal(err)
	}
	b.expect(0, nil, "resume", "r")
	b.vouchedFor(0, nil, commands...)
	if b.read("runs", "r", "result.json") == edited || attemptsOf(b, "r") != 1 {
		b.Errorf("the result was not written anew from the checkpoint, after %d attempts", attemptsOf(b, "r"))
	}
	undo()
}

func comparesFailures(b *bench) {
	b.expect(3, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=error")
	b.vouchedFor(3, nil, []string{"wait", "r"})
	b.vouchedFor(0, nil, []string{"show", "r"})
	for _, c := range []struct{ path, from, to, says string }{
		{b.path("runs", "r", "result.json"), `"exit_code": 3`, `"exit_code": 70`, "exit code: result.json has 70, end.json of attempt 1 has 3"},
		{b.path("runs", "r", "attempts", "1", "end.json"), `"cause": "`, `"cause": "all is well", "was": "`, "end.json of attempt 1 has all is well"},
		{b.path("runs", "r", "result.json"), `"error": "`, `"result": {"accuracy": 1}, "error": "`, "accuracy: result.json has 1, end.json of attempt 1 has none"},
		{b.path("runs", "r", "attempts", "1", "end.json"), `"state": "FAILED"`, `"state": "SUCCEEDED"`, "state: result.json has FAILED, end.json of attempt 1 has SUCCEEDED"},
	} {
		undo := b.rewrite(c.path, c.from, c.to)
		b.vouchedFor(66, []string{"is not what it was made from", c.says}, []string{"show", "r"}, []string{"wait", "r"})
		undo()
	}
}

func missesFinalCheckpoint(b *bench) {
	b.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-S", "steps=40", "-S", "pause_us=0", "--checkpoint-every", "20")
	final := b.path("checkpoints", "r", b.checkpoints("r")[0].ID)
	commands := [][]string{{"show", "r"}, {"wait", "r"}}
	undo := b.rewrite(filepath.Join(final, "MANIFEST.json"), `"step": 40`, `"step": 41`)
	b.vouchedFor(66, []string{"cannot be compared with its final checkpoint", filepath.Base(final)}, commands...)
	undo()
	if err := os.RemoveAll(final); err != nil {
		b.Fatal(err)
	}
	b.vouchedFor(66, []string{"the final checkpoint of run r is gone", "mtt-host checkpoints ls r"}, commands...)
	if err := os.RemoveAll(b.path("checkpoints", "r")); err != nil {
		b.Fatal(err)
	}
	b.vouchedFor(0, []string{"warning: the result of run r was not compared with its final checkpoint: the run has no checkpoint any more"}, commands...)
}

// TestThreadsOfXLAStayThoseOfTheFirstAttempt trains with 16 threads, which split sums otherwise than 2 do, and goes on
// where there are fewer processors.
func TestThreadsOfXLAStayThoseOfTheFirstAttempt(t *testing.T) {
	t.Parallel()
	b := withDevice(t, "cpu")
	args := []string{pluginPath("train-xla"), "--device", "cpu", "--exact", "-S", "model=cnn", "-S", "steps=40", "--checkpoint-every", "10", "--name"}
	sixteen := b.with("NPROC=16")
	sixteen.expect(0, nil, append([]string{"run"}, append(args, "alone")...)...)
	p := sixteen.start(append([]string{"run"}, append(args, "r")...)...)
	b.eventually("there is a checkpoint", func() bool { return len(manifests(b, "r")) > 0 })
	p.kill()
	b.with("NPROC=5").expect(65, []string{"XLA threads: was 16, is 5"}, resume("r")...)
	b.expect(65, []string{"XLA threads: was 16, is 2"}, resume("r", "--env-var", "NPROC=2")...)
	b.expect(65, []string{"XLA threads: was 16, is 2"}, resume("r", "--env-var", "PJRT_NPROC=2", "--env-var", "NPROC=16")...)
	b.expect(0, nil, resume("r")...)
	b.equal(b.outcome("r"), b.outcome("alone"))
	if threads := b.recorded("r", "2")["xla_threads"]; threads != 16.0 {
		t.Errorf("%v threads are recorded", threads)
	}
}

// TestSecretsAndDataOnModalAreInTheKey preempts a run with both, rotates a credential, and then what XLA reads.
func TestSecretsAndDataOnModalAreInTheKey(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	table := filepath.Join(m.data("tables", "one"), "list.txt")
	m.fake.Modal(t, "volume", "create", "tables", "--version", "2")
	m.expect(0, nil, "volume", "put", "tables", table, "/list.txt")
	rotate := func(keys ...string) {
		m.fake.MustModal(t, append([]string{"secret", "create", "--force", "numbers"}, keys...)...)
	}
	rotate("XLA_FLAGS=--xla_a=1", "SERVICE_KEY=first")
	m.expect(0, nil, endless("--name", "r", "-d", "--exact", "--secret", "numbers=XLA_FLAGS,SERVICE_KEY", "--mount", "tables:numbers")...)
	saved := func(attempt string) {
		m.until("attempt "+attempt+" has saved", func() bool {
			return m.run("volume", "get", "outputs", "runs/r/attempts/"+attempt+"/saved.json", "-").code == 0
		})
	}
	saved("1")
	m.fake.Tell(t, "preempt", sandboxName("r"))
	saved("2")
	m.stopNow("r")
	rotate("XLA_FLAGS=--xla_a=1", "SERVICE_KEY=second")
	m.expect(0, nil, "resume", "r", "-d", "--exact=false") // so that the times of another mount count
	saved("3")
	m.stopNow("r")
	if info := m.show("r"); !info.Exact || len(info.Attempts) != 3 {
		t.Errorf("after %d attempts exact is %v, because %q", len(info.Attempts), info.Exact, info.ExactReason)
	}
	rotate("XLA_FLAGS=--xla_a=2", "SERVICE_KEY=second")
	m.expect(65, []string{"is to be exact, and cannot be: attempt 4: XLA_FLAGS: was sha256:"}, "resume", "r", "--exact")
	rotate("XLA_FLAGS=--xla_a=1", "SERVICE_KEY=second")
	m.writeAs(table, "two", 0o644)
	m.expect(0, nil, "volume", "put", "--force", "tables", table, "/list.txt")
	m.expect(65, []string{"is to be exact, and cannot be: attempt 5: data numbers: a file of tables has another path, size or time"}, "resume", "r", "--exact")
	m.fetch("r")
	for _, attempt := range []string{"1", "2", "3"} {
		if record := m.read("runs", "r", "attempts", attempt, "start.json"); strings.Contains(record, "xla_a") || strings.Contains(record, "SERVICE_KEY") {
			t.Errorf("start.json has what is in the secret:\n%s", record)
		}
	}
}

// TestExactRunOnModalWaitsForAMachineOfItsKind has the records of its first attempt be those of another processor, so that
// every machine is another one, until they are as they were.
func TestExactRunOnModalWaitsForAMachineOfItsKind(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	alone := m.aloneHere(strolls()...)
	m.expect(0, nil, strolls("--name", "r", "-d", "--exact")...)
	m.saved("r", 150)
	m.expect(0, nil, "stop", "r")
	m.expect(6, nil, "wait", "r")
	m.fetch("r")
	path := "runs/r/attempts/1/start.json"
	recorded := m.read(path)
	m.writeAs(m.path(path), strings.Replace(recorded, `"stepping": "`, `"stepping": "99`, 1), 0o644)
	m.expect(0, nil, "volume", "put", "--force", "outputs", m.path(path), "/"+path)

	m.expect(0, nil, "resume", "r", "-d")
	m.until("it is QUEUED for that reason", func() bool {
		info := m.modalInfo("r")
		return info.State == "QUEUED" && strings.Contains(info.Waiting, "attempt 2: CPU: was ")
	})
	m.until("three machines were refused", func() bool {
		workers, _ := m.sandboxes("r")
		return len(workers) > 4
	})
	m.writeAs(m.path(path), recorded, 0o644)
	m.expect(0, nil, "volume", "put", "--force", "outputs", m.path(path), "/"+path)
	m.expect(0, nil, "wait", "r")
	if info := m.modalInfo("r"); len(info.Attempts) != 2 || !info.Exact {
		t.Errorf("there were %d attempts, and exact is %v, because %q", len(info.Attempts), info.Exact, info.ExactReason)
	}
	m.equal(m.end("r"), alone)
}

func TestExactRunOnModalGivesUpAfterTenMachines(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d", "--exact")...)
	m.saved("r", 100)
	m.stopNow("r")
	m.fetch("r")
	path := "runs/r/attempts/1/start.json"
	m.writeAs(m.path(path), strings.Replace(m.read(path), `"device_model": "`, `"device_model": "other `, 1), 0o644)
	m.expect(0, nil, "volume", "put", "--force", "outputs", m.path(path), "/"+path)
	m.expect(65, []string{"cannot be on any of 10 machines: attempt 2: device model: was other ", "mtt-host resume r --exact=false"}, "resume", "r")
	if info := m.modalInfo("r"); info.State != "INTERRUPTED" || len(info.Attempts) != 2 {
		t.Errorf("it is %s after %d attempts", info.State, len(info.Attempts))
	}
	if workers, _ := m.sandboxes("r"); len(workers) != 11 {
		t.Errorf("there were %d workers, and one trained", len(workers))
	}
}
