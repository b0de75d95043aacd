package main_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// walk is a run that is over at once.
func walk(args ...string) []string {
	return append([]string{"run", pluginPath("walk"), "-S", "steps=20", "-S", "pause_us=0"}, args...)
}

func TestWrongInputIsRefusedWithAWayOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := filepath.Dir(b.tmp)
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
		return path
	}
	broken := file("broken.toml", "steps = 20\ndrift = = 1\n")
	wrongKey := file("key.toml", "wakers = 3\n")
	wrongType := file("type.json", `{"steps": "many"}`)
	noObject := file("list.json", `[1]`)
	yaml := file("config.yaml", "steps: 20\n")
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		b.Fatal(err)
	}
	driving := file("driving", "#!/bin/sh\nprintf '\\033]0;title\\a\\n'\nexit 9\n") // prints what drives a terminal
	if err := os.Chmod(driving, 0o755); err != nil {
		b.Fatal(err)
	}
	b.expect(0, nil, walk("--name", "there")...)
	for _, c := range []struct {
		code int
		says []string
		args []string
	}{
		{5, []string{"no plugin nosuch", "bin/plugins/nosuch", "Name a directory"}, []string{"run", "nosuch"}},
		{5, []string{"no plugin ./nosuch", "Name a directory"}, []string{"run", "./nosuch"}},
		{5, []string{"no plugin nosuch"}, []string{"plugin", "describe", "nosuch"}},
		{2, []string{empty + " does not build", "go.mod file not found"}, []string{"run", empty}},

		{2, []string{"unknown configuration key wakers", "did you mean walkers?", "mtt-host plugin describe"}, walk("-S", "wakers=3")},
		{2, []string{"configuration key steps", "want integer", `string "many"`}, walk("-S", "steps=many")},
		{2, []string{"configuration key steps", "want integer"}, walk("-S", "steps=1.5")},
		{2, []string{"-S steps", "want key=value"}, walk("-S", "steps")},
		{2, []string{"cannot read the configuration", "nosuch.toml"}, walk("--config", "nosuch.toml")},
		{2, []string{broken, "is not TOML", "2| drift = = 1"}, walk("--config", broken)},
		{2, []string{wrongKey, "unknown configuration key wakers", "did you mean walkers?"}, walk("--config", wrongKey)},
		{2, []string{wrongType, "configuration key steps", "want integer"}, walk("--config", wrongType)},
		{2, []string{noObject, "want an object"}, walk("--config", noObject)},
		{2, []string{yaml, ".toml or .json"}, walk("--config", yaml)},

		{2, []string{"--seed 9007199254740992", "below 2^53"}, walk("--seed", "9007199254740992")},
		{2, []string{"--seed -1: want a whole number", "mtt-host run --help"}, walk("--seed", "-1")},
		{2, []string{`"../x" cannot be the name of a run`}, walk("--name", "../x")},
		{2, []string{"cannot be the name of a run", "1 to 54"}, walk("--name", strings.Repeat("x", 55))},
		{2, []string{"--checkpoint-every", `"sometimes"`, "500", "30s"}, walk("--checkpoint-every", "sometimes")},
		{2, []string{"--checkpoint-every"}, walk("--checkpoint-every", "0")},
		{2, []string{"--keep 0", "at least 1"}, walk("--keep", "0")},
		{2, []string{"--retries -1", "0 or more"}, walk("--retries", "-1")},
		{2, []string{`does not name device "cuda"`, "gomlx.Devices()"}, walk("--device", "cuda")},
		{2, []string{"--device tpu", "auto, go"}, walk("--device", "tpu")},
		{2, []string{"--env-var \"=X\"", "NAME=VALUE"}, walk("--env-var", "=X")},
		{2, []string{"--env-var NPROC=abc: want a number of threads, from 1 to 8192"}, walk("--env-var", "NPROC=abc")},
		{2, []string{"--env-var PJRT_NPROC=0: want a number of threads"}, walk("--env-var", "PJRT_NPROC=0")},
		{2, []string{"--env-var NPROC=9999999999: want a number of threads"}, walk("--env-var", "NPROC=9999999999")},
		{2, []string{"--env-var is empty"}, walk("--env-var", "")},
		{2, []string{"--mount is empty"}, []string{"resume", "there", "--mount", ""}},
		{2, []string{"--set is empty"}, walk("-S", "")},
		{2, []string{`a name in the key "" is empty`}, walk("-S", "=1")},
		{2, []string{`a name in the key "steps." is empty`}, walk("-S", "steps.=1")},
		{2, []string{"mtt-host run: PLUGIN is empty"}, []string{"run", ""}},
		{2, []string{"mtt-host resume: RUN is empty"}, []string{"resume", ""}},
		{2, []string{"mtt-host wait: RUN is empty"}, []string{"wait", "there", ""}},
		{2, []string{"mtt-host checkpoints show: CHECKPOINT is empty"}, []string{"checkpoints", "show", "there", ""}},
		{2, []string{"mtt-host volume ls: VOL is empty"}, []string{"volume", "ls", ""}},
		{2, []string{"mtt-host volume ls: PATH is empty"}, []string{"volume", "ls", ".", ""}},
		{2, []string{"mtt-host volume get: REMOTE is empty"}, []string{"volume", "get", ".", "", "x"}},
		{2, []string{"mtt-host volume get: LOCAL is empty"}, []string{"volume", "get", ".", "x", ""}},
		{2, []string{"mtt-host volume put: REMOTE is empty"}, []string{"volume", "put", ".", ".", ""}},
		{2, []string{"mtt-host volume rm: PATH is empty"}, []string{"volume", "rm", "-r", ".", ""}},
		{2, []string{"variable NO_SUCH", "is not set", "--env-var NO_SUCH=VALUE"}, walk("--env-var", "NO_SUCH")},
		{2, []string{"--stop-grace 0s", "more than 0"}, walk("--stop-grace", "0s")},
		{2, []string{"--new --name there", "another name"}, walk("--new", "--name", "there")},
		{2, []string{"--output xml", "text or json"}, walk("-o", "xml")},
		{2, []string{"--output xml"}, []string{"ls", "-o", "xml"}},

		{2, []string{`no command "mtt-host rnu"`, "Did you mean run?"}, []string{"rnu"}},
		{2, []string{`no command "mtt-host checkpoints lst"`, "Did you mean ls?"}, []string{"checkpoints", "lst"}},
		{2, []string{"unknown flag: --sed", "mtt-host run --help"}, walk("--sed", "1")},
		{2, []string{"mtt-host run needs PLUGIN", "Usage: mtt-host run PLUGIN"}, []string{"run"}},
		{2, []string{`"b" is one argument too many`}, []string{"show", "a", "b"}},

		{5, []string{`no plugin ./\x1b[31m\r: `}, []string{"run", "./\x1b[31m\r"}},
		{2, []string{`got string "\u001b`}, walk("-S", "drift=\x1b[31m")},
		{70, []string{`\x1b]0;title\a`}, []string{"run", driving}},
		{5, []string{"no run nosuch", "mtt-host ls"}, []string{"show", "nosuch"}},
		{5, []string{"no run nosuch", "mtt-host ls"}, []string{"resume", "nosuch"}},
		{5, []string{"no run nosuch"}, []string{"checkpoints", "ls", "nosuch"}},
		{5, []string{"no run nosuch"}, []string{"checkpoints", "verify", "nosuch"}},
		{5, []string{"no such checkpoint", "mtt-host checkpoints ls there"}, []string{"checkpoints", "show", "there", "walk-000000000001-x"}},
	} {
		r := b.run(c.args...)
		b.check(r, c.code, c.says...)
		if strings.ContainsAny(r.stderr, "\x1b\r\a") {
			b.Errorf("%q: the message drives the terminal: %q", c.args, r.stderr)
		}
		if r.stdout != "" || !strings.HasPrefix(r.stderr, "mtt-host: ") {
			b.Errorf("%q: want an error on stderr, and nothing on stdout: %v", c.args, r)
		}
	}
	if runs := b.runs(); len(runs) != 1 {
		b.Errorf("a refused command made a run: %v", runs)
	}
}

func TestDirectoryIsBuilt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    int
		says    []string
		content string
	}{
		"does not build": {2, []string{"does not build", `main.go:3:`, `cannot use "one"`}, "package main\n\nvar count int = \"one\"\n\nfunc main() {}\n"},
		"no main":        {2, []string{"not a main package", "sdk.Serve"}, "package source\n"},
		"no plugin":      {70, []string{"is no plugin", "exited with code 0"}, "package main\n\nfunc main() {}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			dir := source(b, "main.go", c.content)
			b.expect(c.code, append(c.says, "mtt-host: "+dir), "run", dir)
		})
	}
	t.Run("plugin", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		dir, err := filepath.Abs("../../../plugins/walk")
		if err != nil {
			b.Fatal(err)
		}
		b.expect(0, nil, "run", dir, "-S", "steps=20", "--name", "built")
	})
}

func TestOutputsThatCannotBeWrittenAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := filepath.Join(filepath.Dir(b.tmp), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		b.Fatal(err)
	}
	for _, outputs := range []string{file, filepath.Join(file, "below")} {
		for _, args := range [][]string{walk(), {"ls"}, {"show", "x"}} {
			b.expect(2, []string{outputs, "not a directory", "--outputs DIR"}, append(args, "--outputs", outputs)...)
		}
	}
	// Nobody can make a directory there, root included.
	b.expect(2, []string{"outputs cannot be written: ", "/proc/mtt", "--outputs DIR"}, walk("--outputs", "/proc/mtt")...)
}

func TestNameOfAnotherRunIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(0, nil, walk("--name", "taken")...)
	r := b.expect(65, []string{"run taken is another one", "config.drift: ", "0.01", "0.5", "seed: ", "mtt-host resume taken", "another --name"},
		walk("--name", "taken", "-S", "drift=0.5", "--seed", "7")...)
	b.commandsExist(r)
	b.expect(65, []string{"experiment: ", "walk", "faulty", "plugin_sha256"}, "run", pluginPath("faulty"), "--name", "taken", "--env-var", "FAULTY=none")
	if shown := b.show("taken"); len(shown.Attempts) != 1 || len(b.runs()) != 1 {
		b.Errorf("the run was touched: %+v", shown)
	}
}

func TestFinishedRunIsPrintedAndNotTrained(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.expect(0, nil, walk("--name", "done")...)
	again := b.expect(0, []string{"run done has finished already; nothing was trained"}, walk("--name", "done")...)
	resumed := b.expect(0, []string{"run done has finished already; nothing was trained"}, "resume", "done")
	if first.stdout != again.stdout || first.stdout != resumed.stdout || first.stdout == "" {
		b.Errorf("printed %q, then %q, then %q", first.stdout, again.stdout, resumed.stdout)
	}
	if n := len(b.show("done").Attempts); n != 1 {
		b.Errorf("%d attempts, want 1", n)
	}
	b.expect(0, nil, walk()...)
	if n := len(b.runs()); n != 2 {
		b.Errorf("%d runs, want 2: without --name a finished run is no reason not to train", n)
	}
}

func TestSeveralUnfinishedRunsAreListed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	killed := func(name string) []string {
		return []string{"run", pluginPath("faulty"), "--new", "--name", name, "--env-var", "FAULTY=killed"}
	}
	b.expect(75, nil, killed("one")...)
	b.expect(75, nil, killed("two")...)
	b.commandsExist(b.expect(2, []string{"one, two", "mtt-host resume", "--new"}, "run", pluginPath("faulty"), "--env-var", "FAULTY=none"))
	b.expect(0, []string{"run two"}, "run", pluginPath("faulty"), "--name", "two", "--env-var", "FAULTY=none")
	b.expect(0, []string{"going on with run one"}, "run", pluginPath("faulty"), "--env-var", "FAULTY=none")
}

func TestLiveRunIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := []string{"run", pluginPath("walk"), "-S", "steps=1000000", "--checkpoint-every", "10"}
	p := b.start(append(long, "--name", "live")...)
	p.waitFor("saved step 10 ")
	if shown := b.show("live"); shown.State != "RUNNING" || shown.ExitCode != nil {
		b.Errorf("want RUNNING, got %+v", shown)
	}
	b.expect(7, []string{"run live is still running", "mtt-host attach live", "--new"}, long...)
	b.expect(7, []string{"run live is still running"}, append(long, "--name", "live")...)
	b.expect(7, []string{"run live is still running"}, "resume", "live")
	p.signal(syscall.SIGINT)
	b.check(p.wait(), 130)
}

func TestOtherCodeIsAnotherRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(75, nil, "run", pluginPath("faulty"), "--name", "old", "--env-var", "FAULTY=killed")

	// The same program with a byte more is other code.
	code, err := os.ReadFile(pluginPath("faulty"))
	if err != nil {
		b.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(b.tmp), "other")
	if err := os.WriteFile(other, append(code, 0), 0o755); err != nil {
		b.Fatal(err)
	}
	b.expect(65, []string{"run old is another one", "plugin_sha256"}, "run", other, "--name", "old", "--env-var", "FAULTY=none")
	b.commandsExist(b.expect(0, []string{"a new run, since the plugin's code is not that of the unfinished old", "mtt-host resume"},
		"run", other, "--env-var", "FAULTY=none"))
	if n := len(b.runs()); n != 2 {
		b.Fatalf("%d runs, want 2", n)
	}
	b.expect(65, []string{"is of experiment faulty", "is experiment walk"}, "resume", "old", "--plugin", pluginPath("walk"))
	if !b.show("old").Exact {
		b.Error("the run is not exact before its code has changed")
	}
	b.expect(0, []string{"attempt 2: plugin: was ", "exactness is not claimed", "at step 10"},
		"resume", "old", "--plugin", other, "--env-var", "FAULTY=none")
	if shown := b.show("old"); shown.Exact || shown.State != "SUCCEEDED" || shown.Result["count"] != 20 {
		b.Errorf("want a result, and no claim of exactness: %+v", shown)
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = []string{"MTT_CHECKPOINT_EVERY=5", "MTT_KEEP=2", "MTT_NAME=ignored", "MTT_SEED=ignored too"}
	b.expect(0, nil, walk("--name", "a")...) // MTT_OUTPUTS is the bench's own
	if steps := b.steps("a"); !slices.Equal(steps, []int64{20, 20}) {
		b.Errorf("checkpoints at steps %v, want the last two: 20 and the final one", steps)
	}
	b.expect(0, nil, walk("--name", "b", "--keep", "50", "--checkpoint-every", "10")...)
	if steps := b.steps("b"); !slices.Equal(steps, []int64{20, 20, 10}) {
		b.Errorf("checkpoints at steps %v, want those of the flags: 20, 20, 10", steps)
	}
	elsewhere := filepath.Join(filepath.Dir(b.tmp), "elsewhere")
	b.expect(0, []string{"mtt-host show c --outputs " + elsewhere}, walk("--name", "c", "--outputs", elsewhere)...)
	if !exists(filepath.Join(elsewhere, "runs", "c", "result.json")) || exists(b.path("runs", "c")) {
		b.Error("--outputs does not win over MTT_OUTPUTS")
	}
	for _, variable := range []string{"MTT_CHECKPOINT_EVERY=often", "MTT_KEEP=many", "MTT_KEEP=0", "MTT_OUTPUT=xml"} {
		b.env = []string{variable}
		r := b.expect(2, []string{variable}, walk()...)
		if r.stdout != "" {
			b.Errorf("stdout holds more than data: %v", r)
		}
	}
}

func TestOutputsMayHaveAnyName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"a[b", "a*", "a b", "a'b", "-", "ä"} {
		outputs := filepath.Join(filepath.Dir(b.tmp), name)
		b.expect(0, nil, walk("--name", "r", "--outputs", outputs)...)
		b.expect(0, []string{"has finished already"}, "resume", "r", "--outputs", outputs)
		quoted := outputs
		if strings.ContainsAny(name, "[* 'ä") {
			quoted = "'" + strings.ReplaceAll(outputs, "'", `'\''`) + "'"
		}
		b.expect(5, []string{"mtt-host ls --outputs " + quoted + "\n"}, "show", "nosuch", "--outputs", outputs)
	}
}

func TestTemporaryDirectoryIsUsedAsItIsOrRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = []string{"TMPDIR=t"} // relative: the bench's own, from where the command is started
	b.expect(0, nil, walk("--name", "relative")...)
	b.env = []string{"TMPDIR=/nowhere"}
	b.expect(2, []string{"cannot make a temporary directory", "/nowhere", "set TMPDIR"}, walk("--name", "nowhere")...)
	b.expect(0, nil, "ls")
}

func TestUnreadableRecordIsNamedWithAWayOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(75, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=killed")
	end := b.path("runs", "bad", "attempts", "1", "end.json")
	cut(t, end)
	for _, args := range [][]string{{"show", "bad"}, {"resume", "bad"}} {
		b.expect(66, []string{end + " is damaged", "Bring a good copy"}, args...)
	}
	b.expect(0, []string{"warning: run bad: " + end + " is damaged"}, "ls")
}

func TestJSONIsOneObjectWithItsSchema(t *testing.T) {
	t.Parallel()
	const (
		run        = "run_id experiment state step total_steps config seed device exact result backend attempts"
		checkpoint = "id step size_bytes reason created verified state_hash"
	)
	b := newBench(t)
	for _, c := range []struct {
		schema, fields, items string
		args                  []string
	}{
		{"mtt.run/v1", run, "", walk("--name", "a", "--checkpoint-every", "5")},
		{"mtt.run/v1", run, "", walk("--name", "a")}, // finished already
		{"mtt.run/v1", run, "", []string{"resume", "a"}},
		{"mtt.run/v1", run, "", []string{"show", "a"}},
		{"mtt.list/v1", run, "mtt.run/v1", []string{"ls"}},
		{"mtt.list/v1", checkpoint, "mtt.checkpoint/v1", []string{"checkpoints", "ls", "a"}},
		{"mtt.list/v1", checkpoint, "mtt.checkpoint/v1", []string{"checkpoints", "verify", "a"}},
		{"mtt.checkpoint/v1", checkpoint, "", []string{"checkpoints", "show", "a"}},
		{"mtt.plugin/v1", "name version sdk_version checkpoint_prefix config_schema exact_resume devices metrics sha256", "", []string{"plugin", "describe", pluginPath("walk")}},
		{"mtt.version/v1", "version protocol go os arch", "", []string{"version"}},
	} {
		r := b.expect(0, nil, append(c.args, "-o", "json")...)
		object := onlyObject(b, r.stdout)
		if object["schema"] != c.schema {
			b.Errorf("%v: schema %v, want %s", c.args, object["schema"], c.schema)
		}
		objects := []any{object}
		if c.items != "" {
			objects = object["items"].([]any)
			if len(objects) == 0 {
				b.Errorf("%v: no items", c.args)
			}
		}
		for _, object := range objects {
			object := object.(map[string]any)
			if c.items != "" && object["schema"] != c.items {
				b.Errorf("%v: an item of schema %v, want %s", c.args, object["schema"], c.items)
			}
			for _, field := range strings.Fields(c.fields) {
				if _, ok := object[field]; !ok {
					b.Errorf("%v: there is no %s in %v", c.args, field, object)
				}
			}
			for field := range object {
				if !snakeCase.MatchString(field) {
					b.Errorf("%v: field %q is not snake_case", c.args, field)
				}
			}
		}
		if strings.ContainsAny(r.stderr, "\x1b\r") {
			b.Errorf("%v: escape codes where there is no terminal: %q", c.args, r.stderr)
		}
	}
	b.outputs = b.dir("nothing")
	if items, ok := onlyObject(b, b.expect(0, nil, "ls", "-o", "json").stdout)["items"].([]any); !ok || len(items) > 0 {
		b.Error("without runs there is no empty list")
	}
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func onlyObject(b *bench, text string) (object map[string]any) {
	b.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&object); err != nil {
		b.Fatalf("stdout is no JSON object: %v\n%s", err, text)
	}
	if _, err := decoder.Token(); err != io.EOF {
		b.Errorf("stdout holds more than one JSON object:\n%s", text)
	}
	return object
}

// runs lists the runs, the oldest first.
func (b *bench) runs() []runInfo {
	b.Helper()
	return decode[struct{ Items []runInfo }](b, b.expect(0, nil, "ls", "-o", "json").stdout).Items
}

// steps are those of a run's checkpoints, the newest first.
func (b *bench) steps(run string) (steps []int64) {
	b.Helper()
	for _, checkpoint := range b.checkpoints(run) {
		steps = append(steps, checkpoint.Step)
	}
	return steps
}

var (
	namedCommand = regexp.MustCompile(`mtt-host ((?:[a-z]+ ?)+)`)
	usage        = regexp.MustCompile(`(?m)^Usage:$`)
)

// commandsExist wants every command that a message names to be there.
func (b *bench) commandsExist(r result) {
	b.Helper()
	named := namedCommand.FindAllStringSubmatch(r.stderr, -1)
	if len(named) == 0 {
		b.Errorf("no command is named: %v", r)
	}
	for _, command := range named {
		help := b.expect(0, nil, append(strings.Fields(command[1])[:1], "--help")...)
		if !usage.MatchString(help.stdout) {
			b.Errorf("%s is no command: %v", command[0], help)
		}
	}
}
