package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
)

// submitter is a bench whose commands work on a modal-fake of its own.
type submitter struct {
	*bench
	fake *faketest.Fake
}

func newSubmitter(t *testing.T, args ...string) *submitter {
	t.Helper()
	s := &submitter{bench: newBench(t)}
	s.fake = faketest.Start(t, args...)
	s.env = append(s.fake.Environ(t), "XDG_CACHE_HOME="+filepath.Join(filepath.Dir(s.tmp), "cache"), "MTT_BACKEND=modal")
	return s
}

// nothing says that nothing was sent: no volume was made, and so no Sandbox.
func (s *submitter) nothing() {
	s.Helper()
	s.expect(5, []string{"no volume outputs"}, "ls")
}

func TestDryRunOnModalSendsNothing(t *testing.T) {
	s := newSubmitter(t)
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
	}](s.bench, s.expect(0, nil, "run", pluginPath("train-xla"), "--dry-run", "-o", "json", "--gpu", "H100,A100-80GB", "--cpu", "4", "--memory", "16GiB", "--apt", "libgomp1").stdout)
	m := plan.Options.Modal
	if plan.Schema != "mtt.plan/v1" || plan.Backend != "modal" || plan.BytesToSend < 1<<20 || plan.Options.Device != "cuda" ||
		len(m.GPU) != 2 || m.CPU != 4 || m.Memory != 16384 || len(m.Layers) != 3 || !strings.Contains(m.Layers[1], "jax-cuda13-pjrt==") {
		t.Errorf("the plan is %+v", plan)
	}
	s.nothing()
}

func TestWhatCannotRunOnModalIsRefusedBeforeAnythingIsSpent(t *testing.T) {
	s := newSubmitter(t)
	script := filepath.Join(filepath.Dir(s.tmp), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	walk := pluginPath("walk")
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{"built for go, and not for cuda", "--device go"}, []string{pluginPath("train"), "--gpu", "H100"}},
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
		s.expect(2, c.words, append([]string{"run", "--dry-run"}, c.args...)...)
	}
	s.env = append(s.env, "MTT_BACKEND=local")
	s.expect(2, []string{"for runs on Modal", "-b modal"}, "run", walk, "--gpu", "H100")
	s.env = append(s.env, "MTT_BACKEND=modal")
	s.nothing()
}

func TestABinaryBuiltElsewhereIsTheOneThatRuns(t *testing.T) {
	s := newSubmitter(t)
	s.expect(0, nil, "run", pluginPath("train"), "--binary", pluginPath("walk"), "--name", "given", "-S", "steps=10")
	if info := s.show("given"); info.Result["mean_square"] == 0 {
		t.Errorf("the result is %v", info.Result)
	}
}

func TestAPluginIsBuiltOnModal(t *testing.T) {
	s := newSubmitter(t)
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// The Sandbox has a HOME of its own and no network: what the build needs of this machine comes as a Secret, in the way
	// in which the means for private modules do.
	s.fake.Modal(t, "secret", "create", "gobuild", "GOMODCACHE="+goEnv("GOMODCACHE"), "GOCACHE="+goEnv("GOCACHE"), "GOPROXY=off", "GOTOOLCHAIN=local")
	walk := filepath.Join(root, "plugins", "walk")
	s.fake.Modal(t, "secret", "create", "nothing", "GOPROXY=off")
	s.expect(2, []string{"does not build on Modal", "--build-secret"}, "run", walk, "--build", "--build-secret", "nothing=GOPROXY", "--name", "without")
	s.expect(0, []string{"of source, to be built in a Sandbox"}, "run", walk, "--build", "--build-secret", "gobuild=GOMODCACHE,GOCACHE,GOPROXY", "--name", "built", "-S", "steps=10")
	if info := s.show("built"); info.State != "SUCCEEDED" {
		t.Errorf("it is %s", info.State)
	}
}

func TestDataAndSecretsReachThePlugin(t *testing.T) {
	s := newSubmitter(t)
	data := filepath.Join(filepath.Dir(s.tmp), "table.csv")
	if err := os.WriteFile(data, []byte("1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.fake.Modal(t, "volume", "create", "tables", "--version", "2")
	s.expect(0, nil, "volume", "put", "tables", data, "/data.txt")
	s.fake.Modal(t, "secret", "create", "service", "SERVICE_KEY=a-key", "OTHER_KEY=another-key")
	faulty := pluginPath("faulty")
	s.expect(5, []string{"no volume nothing"}, "run", faulty, "--env-var", "FAULTY=none", "--mount", "nothing:digits", "--name", "a")
	s.expect(5, []string{"Secret"}, "run", faulty, "--env-var", "FAULTY=none", "--secret", "service=NO_KEY", "--name", "a")
	s.expect(0, nil, "run", faulty, "--env-var", "FAULTY=environment", "--secret", "service=SERVICE_KEY", "--name", "b")
	environment := s.expect(0, nil, "volume", "get", "outputs", "/files/b/environment.txt", "-").stdout
	if !strings.Contains(environment, "SERVICE_KEY=a-key") || strings.Contains(environment, "another-key") || strings.Contains(environment, "MODAL_") {
		t.Errorf("the plugin's environment is\n%s", environment)
	}
	for _, name := range []string{"run.json", "log/1.jsonl"} {
		if strings.Contains(s.expect(0, nil, "volume", "get", "outputs", "/runs/b/"+name, "-").stdout, "a-key") {
			t.Errorf("%s has the secret", name)
		}
	}
}

func TestTheLimitsOfTimeAndCostEndARunOnModal(t *testing.T) {
	s := newSubmitter(t)
	walk := pluginPath("walk")
	s.expect(124, []string{"time limit"}, "run", walk, "-S", "steps=100000", "--timeout", "3s", "--name", "late", "--checkpoint-every", "500ms")
	if info := s.show("late"); info.State != "STOPPED" || len(s.checkpoints("late")) == 0 {
		t.Errorf("it is %s, with %d checkpoints", info.State, len(s.checkpoints("late")))
	}
	// The end alone costs more than that, so it is asked to end at once.
	r := s.run("run", walk, "-S", "steps=100000", "--max-cost", "0.0001", "--cpu", "1", "--memory", "1GiB", "--name", "dear")
	s.check(r, 124, "cost limit")
	if info := s.show("dear"); info.State != "STOPPED" {
		t.Errorf("it is %s", info.State)
	}
}
