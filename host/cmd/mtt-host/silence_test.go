package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nothing that a user would want to know goes by without a word.
var silence = []promise{
	{"run after a failure is refused with its exit code until resume or --new says what is wanted", runAfterFailure},
	{"which of several runs of one identity ended last decides, not which began last", lastEndDecides},
	{"a loop around run does not start over, and one around resume goes on", loopsDoNotStartOver},
	{"run after a failure is refused on Modal too", runAfterFailureOnModal},
	{"a value that would be changed on its way is refused, and its key named", changedValues},
	{"a value is one, however it is written, and so is the identity", oneValueOneIdentity},
	{"a configuration schema that breaks the rules is the plugin's fault", brokenSchemas},
	{"a variable that --env-var names alone is passed on, read anew by each command, and its value is in no record", passedVariable},
	{"on Modal it goes by a Secret that lasts as long as the run", passedVariableOnModal},
	{"what --env-var sets is recorded for the user alone", recordedVariable},
	{"a wrong metric fails the run at the next step, whatever the cadence and the loop", wrongMetrics},
	{"a plugin that does not hear that its metrics are refused does not succeed", deafPlugins},
	{"an experiment that never saves is said to, once, after two cadences", neverSaves},
	{"a result that lacks what was declared, or is no number, is warned of and shown as it is", strangeResults},
	{"what a newer mtt-host has recorded is read with a warning, and not written to", newerRecords},
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

// given writes a configuration file.
func (b *bench) given(name, content string) (path string) {
	b.Helper()
	path = filepath.Join(filepath.Dir(b.tmp), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func changedValues(b *bench) {
	sets := map[string][]string{
		"text=caf\xe9":                            {"configuration key text", "not UTF-8", `caf\xe9`},
		"weights.caf\xe9=1":                       {"not UTF-8"},
		`weights={"a":1,"a":2}`:                   {"configuration key weights.a is given twice"},
		`weights={"\udc00":2}`:                    {"half of a surrogate pair"},
		`adam={"beta":1,"b\u0065ta":2}`:           {"configuration key adam.beta is given twice"},
		"lr=1e400":                                {"configuration key lr", "1e400 does not fit"},
		"lr=1e-400":                               {"configuration key lr", "1e-400 is nearer to 0"},
		"lr=NaN":                                  {"configuration key lr", "want number"},
		"layers=[1,2147483648]":                   {"configuration key layers[1]", "2147483648 is out of range"},
		"big=1e300":                               {"configuration key big", "1e300 does not fit"},
		"layers=" + strings.Repeat("[", 20_000):   {"configuration key layers: want null or array"},
		"layers=[" + strings.Repeat("1,", 20_000): {"configuration key layers: want null or array, got string", "bytes)"},
	}
	for set, words := range sets {
		r := b.expect(2, words, "run", pluginPath("values"), "-S", set)
		if len(r.stderr) > 2000 {
			b.Errorf("%d bytes on stderr: %.2000s", len(r.stderr), r.stderr)
		}
	}
	for _, file := range []struct {
		name, content string
		words         []string
	}{
		{"latin.json", "{\"text\":\"caf\xe9\"}", []string{"configuration key text", "not UTF-8"}},
		{"latin.toml", "text = \"caf\xe9\"", []string{"not TOML"}},
		{"surrogate.json", `{"text":"\ud800"}`, []string{"configuration key text", `\ud800`}},
		{"twice.json", `{"lr":0.1,"lr":0.2}`, []string{"configuration key lr is given twice"}},
		{"nested.json", `{"adam":{"beta":0.1,"beta":0.1}}`, []string{"configuration key adam.beta is given twice"}},
		{"twice.toml", "lr = 0.1\nlr = 0.2", []string{"lr"}},
		{"nan.toml", "lr = nan", []string{"configuration key lr", "NaN"}},
		{"large.toml", "big = 9223372036854775808", []string{"9223372036854775808"}},
		{"two.json", `{} {}`, []string{"not JSON"}},
		{"empty.json", "", []string{"not JSON"}},
		{"deep.json", strings.Repeat(`{"adam":`, 100_000), []string{"not JSON"}},
		{"list.json", "[]", []string{"want an object"}},
	} {
		r := b.expect(2, append(file.words, file.name), "run", pluginPath("values"), "--config", b.given(file.name, file.content))
		if len(r.stderr) > 2000 {
			b.Errorf("%d bytes on stderr: %.2000s", len(r.stderr), r.stderr)
		}
	}
	if runs := b.runs(); len(runs) != 0 {
		b.Errorf("runs were made: %+v", runs)
	}
}

func oneValueOneIdentity(b *bench) {
	values := func(more ...string) []string {
		return append([]string{"run", pluginPath("values"), "--name", "r"}, more...)
	}
	b.expect(0, nil, values("-S", "text=é😀", "-S", "lr=-0.0", "-S", "big=9007199254740993", "-S", "weights.x=0.5", "-S", "weights.y=1e0")...)
	const given = `{"big":9007199254740993,"huge":0,"small":0,"lr":-0,"lr32":0.1,"text":"é😀","layers":null,"weights":{"x":0.5,"y":1},"adam":{"beta":0}}`
	if got := b.read("files", "r", "config.json"); got != given {
		b.Errorf("the experiment was given %s\nwant %s", got, given)
	}
	for name, content := range map[string]string{
		"a.json":   "\uFEFF" + `{"text":"\u00e9\uD83D\uDE00","lr":-0,"big":9.007199254740993e15,"weights":{"y":1.0,"x":5e-1}}`,
		"a.toml":   "\uFEFFtext = \"\\u00e9😀\"\nlr = -0.0\nbig = 9_007_199_254_740_993\n[weights]\ny = 1\nx = 0.50",
		"all.json": given,
	} {
		b.expect(0, []string{"has finished already"}, values("--config", b.given(name, content))...)
	}
	b.expect(0, []string{"has finished already"}, values("--config", b.given("b.json", `{"text":"other"}`), "-S", "text=another", "-S", "text=é😀",
		"-S", "lr=-0", "-S", "big=9007199254740993", "-S", `weights={"x":0.5}`, "-S", "weights.y=1")...)
	b.expect(65, []string{"text"}, values("-S", "text=e\u0301😀", "-S", "lr=-0", "-S", "big=9007199254740993", "-S", `weights={"x":0.5,"y":1}`)...) // other characters
}

func brokenSchemas(b *bench) {
	const property = `{"type":"object","properties":{"x":%s},"additionalProperties":false}`
	for schema, words := range map[string][]string{
		`{"type":"object","properties":{"x":{"type":"integer"}},"additionalProperties":false}`:            {"configuration key x has no default"},
		`{"type":"object","properties":{"x":{"type":"integer","default":1}},"additionalProperties":true}`: {"admits keys", `"additionalProperties": false`},
		`{"type":"object"}`: {"admits keys"},
		`{"type":"object","patternProperties":{".*":{"default":1}},"additionalProperties":false}`: {"admits keys"},
		`["x"]`:       {"not a JSON Schema"},
		`{"type":`:    {"not JSON"},
		"\"caf\xe9\"": {"not UTF-8"},
		fmt.Sprintf(property, `{"type":"integer","default":"a"}`):                                                            {"configuration key x: want integer"},
		fmt.Sprintf(property, `{"type":"integer","default":0,"minimum":1}`):                                                  {"configuration key x: 0 is out of range"},
		fmt.Sprintf(property, `{"type":"object","properties":{"y":{"type":"integer"}},"additionalProperties":false}`):        {"configuration key x.y has no default"},
		fmt.Sprintf(property, `{"type":"object","properties":{"y":{"default":1}},"default":3,"additionalProperties":false}`): {"configuration key x: want object"},
		fmt.Sprintf(property, `{"$ref":"#","default":{}}`):                                                                   {`"#"`},
		`{"type":"object","properties":{"a\u001b[2J":{"default":1}},"additionalProperties":false}`:                           {"cannot be a configuration key"},
		`{"type":"object","$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}},"additionalProperties":false}`:               {"refers to itself"},
	} {
		args := []string{pluginPath("faulty"), "--env-var", "FAULTY=schema", "--env-var", "SCHEMA=" + schema}
		b.expect(70, append(words, "broke the protocol"), append([]string{"run"}, args...)...)
		b.expect(70, words, append([]string{"plugin", "describe"}, args...)...)
	}
	if runs := b.runs(); len(runs) != 0 {
		b.Errorf("runs were made: %+v", runs)
	}
}

func wrongMetrics(b *bench) {
	for fault, words := range map[string][]string{
		"empty-tag":         {`metric "" at step 10`, "tag of a metric is empty"},
		"negative-step":     {`metric "loss" at step -1`},
		"negative-progress": {"step -1 of 20"},
		"only-metrics":      {`metric "" at step 10`},
	} {
		b.expect(70, append(words, "the plugin broke the protocol"), faulty(fault, "--name", fault, "-S", "steps=100000", "--checkpoint-every", "100000")...)
		if shown := b.show(fault); shown.State != "FAILED" || shown.Step > 11 {
			b.Errorf("%s: %s at step %d", fault, shown.State, shown.Step)
		}
	}
}

func deafPlugins(b *bench) {
	b.expect(70, []string{"the plugin broke the protocol: a point of \"loss\" at step 18446744073709551615"}, faulty("metric-negative", "--name", "metric")...)
	b.expect(70, []string{"the plugin broke the protocol: progress is step 18446744073709551615"}, faulty("progress-negative", "--name", "progress")...)
	for _, name := range []string{"metric", "progress"} {
		if shown := b.show(name); shown.State != "FAILED" || len(shown.Result) > 0 {
			b.Errorf("%s: %s with result %v", name, shown.State, shown.Result)
		}
		b.expect(70, []string{"broke the protocol"}, "resume", name) // which finds no final checkpoint
	}
}

func neverSaves(b *bench) {
	const words = "no checkpoint has come since step 0, though one is due every "
	for cadence, every := range map[string]string{"20": "20 steps", "200ms": "200ms"} {
		r := b.expect(0, []string{words + every, "run.ShouldSave and run.Save"}, faulty("never-saves", "--name", "c"+cadence, "-S", "steps=500", "--checkpoint-every", cadence)...)
		if n := strings.Count(r.stderr, words); n != 1 {
			b.Errorf("it is said %d times: %v", n, r)
		}
	}
	for _, args := range [][]string{
		faulty("never-saves", "--name", "early", "-S", "steps=300", "--checkpoint-every", "200"), // one cadence, and no second
		faulty("none", "--name", "saves", "-S", "steps=300", "--checkpoint-every", "20"),
	} {
		if r := b.expect(0, nil, args...); strings.Contains(r.stderr, "no checkpoint has come") {
			b.Errorf("a warning for nothing: %v", r)
		}
	}
}

func strangeResults(b *bench) {
	values := func(name, text string) result {
		return b.expect(0, nil, "run", pluginPath("values"), "--name", name, "-S", "text="+text)
	}
	if r := values("right", "right"); strings.Contains(r.stderr, "warning") {
		b.Errorf("a warning for nothing: %v", r)
	}
	if r := values("nothing", "nothing"); !strings.Contains(r.stderr, "the result has no small, which the experiment declares") {
		b.Errorf("no warning: %v", r)
	}
	r := values("odd", "not finite")
	for _, words := range []string{"in the result, small is NaN", "in the result, up is +Inf", "in the result, down is -Inf"} {
		if !strings.Contains(r.stderr, words) {
			b.Errorf("want %q: %v", words, r)
		}
	}
	const text, given = "down -Inf, small NaN, up +Inf", `{"down":"-Infinity","small":"NaN","up":"Infinity"}`
	for _, args := range [][]string{{"run", pluginPath("values"), "--name", "odd", "-S", "text=not finite"}, {"wait", "odd"}, {"show", "odd"}, {"ls"}} {
		if r := b.expect(0, nil, args...); !strings.Contains(r.stdout, text) {
			b.Errorf("%v says %v", args, r)
		}
		json := b.expect(0, nil, append(args, "-o", "json")...).stdout
		if squeezed := strings.NewReplacer(" ", "", "\n", "").Replace(json); !strings.Contains(squeezed, given) {
			b.Errorf("%v says %s", args, json)
		}
	}
	if logged := b.expect(0, nil, "logs", "odd").stdout; !strings.Contains(logged, "small is NaN") {
		b.Errorf("the log is %s", logged)
	}
}

// newerRecords has records of a run be of a version that a later mtt-host might write.
func newerRecords(b *bench) {
	args := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=1000000", "--checkpoint-every", "50"}
	p := b.start(args...)
	b.eventually("there is a checkpoint", func() bool { return len(manifests(b, "r")) > 0 })
	p.kill()
	for _, change := range [][3]string{ // file, what is in it, what a newer host might have written
		{"run.json", `"mtt.spec/v1"`, `"mtt.spec/v2"`},
		{"attempts/1/claim.json", `"mtt.claim/v1"`, `"mtt.claim/v17"`},
		{"attempts/1/start.json", `"mtt.start/v1"`, `"mtt.start/v2"`},
		{"run.json", `"seed": 0`, `"seed": {"data": 0}, "schema": "mtt.spec/v2"`}, // as this host cannot read it
	} {
		path := b.path("runs", "r", change[0])
		before, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		after := strings.Replace(string(before), change[1], change[2], 1)
		if after == string(before) {
			b.Fatalf("%s has no %s", path, change[1])
		}
		if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
			b.Fatal(err)
		}
		wrote := b.files(b.path("runs", "r"))
		words := []string{change[0], "of a newer mtt-host", "/v1", "/v" + strings.Trim(change[2][strings.LastIndex(change[2], "/v")+2:], `"`)}
		b.expect(65, words, "resume", "r")
		b.expect(65, words, args...)
		b.expect(0, words, "ls")
		if !strings.Contains(change[2], "data") {
			for _, command := range [][]string{{"show", "r"}, {"logs", "r"}, {"checkpoints", "ls", "r"}} {
				b.expect(0, words, command...)
			}
		}
		if now := b.files(b.path("runs", "r")); !maps.Equal(now, wrote) {
			b.Errorf("%v: something was written", change)
		}
		if err := os.WriteFile(path, before, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	p = b.start("resume", "r")
	p.waitFor("resumed from checkpoint")
	p.signal(syscall.SIGINT)
	b.check(p.wait(), 130)
}
