package main_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nothing says that nothing was sent: no volume was made, and so no Sandbox.
func (m *modalBench) nothing() {
	m.Helper()
	m.expect(5, []string{"no volume outputs"}, "ls")
}

func TestDryRunOnModalSendsNothing(t *testing.T) {
	m := newModalBench(t)
	plan := decode[struct {
		Schema      string
		Backend     string
		BytesToSend int64 `json:"bytes_to_send"`
		Options     struct {
			Device string
			Modal  struct {
				GPU    []string
				Layers []string
				CPU    float64
				Memory int `json:"memory_mib"`
			}
		}
	}](m.bench, m.expect(0, nil, "run", pluginPath("train-xla"), "--dry-run", "-o", "json", "--gpu", "H100,A100-80GB", "--cpu", "4", "--memory", "16GiB", "--apt", "libgomp1").stdout)
	of := plan.Options.Modal
	if plan.Schema != "mtt.plan/v1" || plan.Backend != "modal" || plan.BytesToSend < 1<<20 || plan.Options.Device != "cuda" ||
		len(of.GPU) != 2 || of.CPU != 4 || of.Memory != 16384 || len(of.Layers) != 3 || !strings.Contains(of.Layers[1], "jax-cuda13-pjrt==") {
		t.Errorf("the plan is %+v", plan)
	}
	m.nothing()
}

func TestWhatCannotRunOnModalIsRefusedBeforeAnythingIsSpent(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	script := filepath.Join(filepath.Dir(m.tmp), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	walk := pluginPath("walk")
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{`not built for device "cuda", only for go`, "--device go"}, []string{pluginPath("train"), "--gpu", "H100"}},
		{[]string{`does not name device "cuda"`, "--device go"}, []string{walk, "--gpu", "H100"}},
		{[]string{"script", "--binary"}, []string{script}},
		{[]string{"C library", "--image"}, []string{pluginPath("train-xla"), "--image", "python:3.13-alpine"}},
		{[]string{"--gpu H1 00"}, []string{walk, "--gpu", "H1 00"}},
		{[]string{"--memory 16"}, []string{walk, "--memory", "16"}},
		{[]string{"--apt rm -rf"}, []string{walk, "--apt", "rm -rf"}},
		{[]string{"--cpu and --memory"}, []string{walk, "--max-cost", "1"}},
		{[]string{"not known", "modal.com/pricing"}, []string{pluginPath("train-xla"), "--max-cost", "1", "--cpu", "1", "--memory", "1GiB", "--gpu", "Z900"}},
		{[]string{"Modal's credentials"}, []string{walk, "--secret", "x=MODAL_TOKEN_ID"}},
		{[]string{"--mount data"}, []string{walk, "--mount", "data"}},
	} {
		m.expect(2, c.words, append([]string{"run", "--dry-run"}, c.args...)...)
	}
	for _, volume := range []string{"", "outputs"} { // the volume is not there yet, and is
		if volume != "" {
			m.fake.MustModal(t, "volume", "create", volume, "--version", "2")
		}
		m.expect(5, []string{"no volume nothing"}, "run", "--dry-run", walk, "--mount", "nothing:data")
		m.expect(5, []string{"no Secret nothing with the key KEY"}, "run", "--dry-run", walk, "--secret", "nothing=KEY")
	}
	m.fake.MustModal(t, "volume", "delete", "outputs", "--yes")
	if plan := m.expect(0, nil, "run", "--dry-run", pluginPath("train-xla"), "--image", "example.com/own:1").stdout; !strings.Contains(plan, "it is not known whether the image example.com/own:1 has glibc 2.") {
		t.Errorf("the plan does not say what is not known:\n%s", plan)
	}
	m.env = append(m.env, "MTT_BACKEND=local")
	m.expect(2, []string{"for runs on Modal", "-b modal"}, "run", walk, "--gpu", "H100")
	m.env = append(m.env, "MTT_BACKEND=modal")
	m.nothing()
}

// What is there of a run says what it can go on with: its plugin need not be on this machine.
func TestARunGoesOnOnlyWithWhatItsPluginCanUse(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(3, nil, "run", pluginPath("faulty"), "--name", "pure", "--env-var", "FAULTY=error")
	m.expect(0, nil, "run", pluginPath("train-xla"), "--name", "cgo", "-d", "--device", "go", "-S", "steps=1000000")
	m.is("cgo", "RUNNING")
	m.expect(0, nil, "stop", "cgo", "--now")
	there := m.elsewhere()
	there.expect(2, []string{`does not name device "cuda"`, "--device go"}, "resume", "pure", "--gpu", "H100")
	there.expect(2, []string{"needs the GNU C library", "alpine has musl"}, "resume", "cgo", "--image", "python:3.13-alpine")
	there.expect(2, []string{"needs the GNU C library"}, "resume", "cgo", "--plugin", pluginPath("train-xla"), "--image", "python:3.13-alpine")
	there.expect(0, []string{"warning: it is not known whether the image example.com/own:1 has glibc 2."}, "resume", "cgo", "--image", "example.com/own:1", "-d")
	there.expect(0, nil, "stop", "cgo", "--now")
	for run, want := range map[string]int{"pure": 1, "cgo": 2} {
		if workers, supervisors := m.sandboxes(run); len(workers) != want || len(supervisors) != want {
			t.Errorf("%s has had %d workers and %d supervisors, want %d", run, len(workers), len(supervisors), want)
		}
	}
	m.expect(0, nil, "resume", "pure", "--gpu", "H100", "--device", "go", "--env-var", "FAULTY=none")
}

func TestABinaryBuiltElsewhereIsTheOneThatRuns(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, "run", pluginPath("train"), "--binary", pluginPath("walk"), "--name", "given", "-S", "steps=10")
	if info := m.show("given"); info.Result["mean_square"] == 0 {
		t.Errorf("the result is %v", info.Result)
	}
}

func TestAPluginIsBuiltOnModal(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// The Sandbox has a HOME of its own and no network: what the build needs of this machine comes as a Secret, in the way
	// in which the means for private modules do.
	m.fake.Modal(t, "secret", "create", "gobuild", "GOMODCACHE="+goEnv("GOMODCACHE"), "GOCACHE="+goEnv("GOCACHE"), "GOPROXY=off", "GOTOOLCHAIN=local")
	walk := filepath.Join(root, "plugins", "walk")
	m.fake.Modal(t, "secret", "create", "nothing", "GOPROXY=off")
	build := []string{"run", walk, "--build", "--build-secret", "gobuild=GOMODCACHE,GOCACHE,GOPROXY", "-S", "steps=10"}
	plan := decode[struct {
		BuiltIn     string `json:"built_in"`
		Plugin      string `json:"plugin_sha256"`
		BytesToSend int64  `json:"bytes_to_send"`
	}](m.bench, m.expect(0, nil, append(build, "--dry-run", "-o", "json")...).stdout)
	if !strings.HasPrefix(plan.BuiltIn, "golang:1.") || plan.Plugin != "" || plan.BytesToSend < 1<<20 {
		t.Errorf("the plan is %+v", plan)
	}
	m.nothing()
	m.expect(2, []string{"does not build on Modal", "--build-secret"}, "run", walk, "--build", "--build-secret", "nothing=GOPROXY", "--name", "without")
	if out, _ := exec.Command("go", "env", "CGO_ENABLED").Output(); string(out) == "1\n" {
		m.expect(2, []string{"needs the GNU C library", "alpine has musl"}, append(build, "--name", "without", "--image", "python:3.13-alpine")...)
	}
	if workers, supervisors := m.sandboxes("without"); len(workers)+len(supervisors) > 0 {
		t.Error("a run was begun with a plugin that could not be built, or could not start")
	}
	before := len(m.sandboxesNamed("build-"))
	m.fake.Tell(t, "set", "lose-creates=1") // the first is that of the build
	m.expect(0, []string{"of source, to be built in a Sandbox"}, append(build, "--name", "built")...)
	if info := m.show("built"); info.State != "SUCCEEDED" {
		t.Errorf("it is %s", info.State)
	}
	if made := len(m.sandboxesNamed("build-")) - before; made != 1 {
		t.Errorf("%d Sandboxes were made to build it once", made)
	}
}

func TestABuildOnModalThatNobodyWaitsForIsEnded(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "start-delay=1h")
	walk, err := filepath.Abs("../../../plugins/walk")
	if err != nil {
		t.Fatal(err)
	}
	p := m.start("run", walk, "--build", "--name", "r")
	m.until("it is being built", func() bool { return len(m.sandboxesNamed("build-")) == 1 })
	p.signal(syscall.SIGINT)
	m.check(p.wait(), 130, "interrupted before training had begun")
	m.until("the Sandbox has ended", func() bool { return !m.sandboxesNamed("build-")[0].alive() })
	if status := m.sandboxesNamed("build-")[0].Status; status != "TERMINATED" {
		t.Errorf("the Sandbox has ended with %s", status)
	}
}

func TestDataAndSecretsReachThePlugin(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	data := filepath.Join(filepath.Dir(m.tmp), "table.csv")
	if err := os.WriteFile(data, []byte("1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.fake.Modal(t, "volume", "create", "tables", "--version", "2")
	m.expect(0, nil, "volume", "put", "tables", data, "/data.txt")
	m.fake.Modal(t, "secret", "create", "service", "SERVICE_KEY=a-key", "OTHER_KEY=another-key")
	faulty := pluginPath("faulty")
	m.expect(5, []string{"no volume nothing"}, "run", faulty, "--env-var", "FAULTY=none", "--mount", "nothing:digits", "--name", "a")
	m.expect(5, []string{"Secret"}, "run", faulty, "--env-var", "FAULTY=none", "--secret", "service=NO_KEY", "--name", "a")
	m.expect(0, nil, "run", faulty, "--env-var", "FAULTY=environment", "--secret", "service=SERVICE_KEY", "--name", "b")
	environment := m.expect(0, nil, "volume", "get", "outputs", "/files/b/environment.txt", "-").stdout
	if !strings.Contains(environment, "SERVICE_KEY=a-key") || strings.Contains(environment, "another-key") || strings.Contains(environment, "MODAL_") {
		t.Errorf("the plugin's environment is\n%s", environment)
	}
	for _, name := range []string{"run.json", "log/1.jsonl"} {
		if strings.Contains(m.expect(0, nil, "volume", "get", "outputs", "/runs/b/"+name, "-").stdout, "a-key") {
			t.Errorf("%s has the secret", name)
		}
	}
}

func TestTheLimitsOfTimeAndCostEndARunOnModal(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	walk := pluginPath("walk")
	m.expect(124, []string{"time limit"}, "run", walk, "-S", "steps=100000", "--timeout", "3s", "--name", "late", "--checkpoint-every", "500ms")
	if info := m.show("late"); info.State != "STOPPED" || len(m.checkpoints("late")) == 0 {
		t.Errorf("it is %s, with %d checkpoints", info.State, len(m.checkpoints("late")))
	}
	// The end alone costs more than that, so it is asked to end at once.
	r := m.run("run", walk, "-S", "steps=100000", "--max-cost", "0.0001", "--cpu", "1", "--memory", "1GiB", "--name", "dear")
	m.check(r, 124, "cost limit")
	if info := m.show("dear"); info.State != "STOPPED" {
		t.Errorf("it is %s", info.State)
	}
}

func TestTheCostLimitIsReachedInMidRun(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	prices := filepath.Join(filepath.Dir(m.tmp), "prices.toml")
	if err := os.WriteFile(prices, []byte("cpu_core = 1e-9\nmemory_gib = 1e-9\n[gpu]\n\"H100\" = 1\n\"A100\" = 0.001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, "MTT_PRICES="+prices)
	// A dollar a second, of which 121 are kept for an orderly end.
	limited := func(more ...string) []string {
		return append([]string{"run", pluginPath("walk"), "-S", "walkers=64", "-S", "pause_us=2000", "--checkpoint-every", "500", "-d",
			"--gpu", "H100", "--device", "go", "--cpu", "1", "--memory", "1GiB", "--stop-grace", "1s", "--max-cost", "131"}, more...)
	}
	m.expect(0, nil, limited("--name", "r", "-S", "steps=6000")...)
	m.expect(0, nil, limited("--name", "alone", "-S", "steps=100000000")...)
	var workers []sandbox
	m.until("it trains", func() bool {
		workers, _ = m.sandboxes("alone")
		return m.modalInfo("alone").State == "RUNNING"
	})
	m.fake.Tell(t, "preempt", supervisorName("alone", 1))

	m.expect(124, []string{"the cost limit of 131 US dollars is used up", "mtt-host resume r --max-cost MORE"}, "wait", "r")
	m.ended("r", "STOPPED", 124)
	m.expect(0, nil, "resume", "r", "--max-cost", "100000")
	m.ended("r", "SUCCEEDED", 0)

	// The limit holds also where nobody is left to see to it.
	m.until("the worker has left", func() bool {
		workers, _ = m.sandboxes("alone")
		return !workers[0].alive()
	})
	m.ended("alone", "STOPPED", 124)
	if last := m.checkpoints("alone")[0]; last.Reason != "stop" {
		t.Errorf("the last checkpoint is %+v", last)
	}
	// What was dearer is not counted at the price of a GPU that a resume asks for.
	m.expect(0, nil, "resume", "alone", "--gpu", "A100", "-d")
	m.is("alone", "RUNNING")
	m.expect(0, nil, "stop", "alone", "--now")
	for attempt, want := range []float64{1, 0.001} {
		claim := m.expect(0, nil, "volume", "get", "outputs", fmt.Sprintf("runs/alone/attempts/%d/claim.json", attempt+1), "-").stdout
		if got := decode[struct{ Rate float64 }](m.bench, claim).Rate; math.Abs(got-want) > 1e-6 {
			t.Errorf("attempt %d costs %g dollars a second, want %g", attempt+1, got, want)
		}
	}
}

// ended wants a run to have ended so.
func (m *modalBench) ended(run, state string, code int) {
	m.Helper()
	if info := m.show(run); info.State != state || info.ExitCode == nil || *info.ExitCode != code {
		m.Errorf("%s: want %s with exit code %d; got %+v", run, state, code, info)
	}
}
