package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// environments are those in which the fake has an app, a volume or a Secret.
func (m *modalBench) environments() (names []string) {
	m.Helper()
	for _, kind := range []string{"apps", "volumes", "secrets"} {
		paths, _ := filepath.Glob(filepath.Join(m.fake.State, kind, "*.json"))
		if len(paths) == 0 {
			m.Errorf("the fake has no %s", kind)
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				m.Fatal(err)
			}
			var object struct{ Environment string }
			if err := json.Unmarshal(raw, &object); err != nil {
				m.Fatalf("%s: %v", path, err)
			}
			names = append(names, object.Environment)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Whoever names the environment, a flag, a variable or a profile: the supervisors, which have neither, work in it too.
func TestARunOnModalStaysInItsEnvironment(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "tables", "--version", "2", "--env", "dev")
	m.fake.MustModal(t, "secret", "create", "service", "SERVICE_KEY=a-key", "--env", "dev")
	env := m.env
	m.env = append(slices.Clone(env), "MODAL_ENVIRONMENT=dev")
	m.expect(0, nil, "volume", "put", "tables", filepath.Join(m.data("numbers", "one"), "list.txt"), "/list.txt")
	m.expect(0, nil, "run", pluginPath("faulty"), "--env-var", "FAULTY=data", "--mount", "tables:numbers", "--secret", "service=SERVICE_KEY",
		"--name", "r", "-d", "-S", "steps=300", "-S", "pause_ms=20", "--supervisor-limit", "2s")
	m.until("it trains", func() bool { return m.modalInfo("r").State == "RUNNING" }) // by what lives there
	m.expect(0, nil, "wait", "r")
	if list := m.expect(0, nil, "volume", "get", "outputs", "/files/r/list.txt", "-").stdout; list != "one" {
		t.Errorf("the experiment has read %q", list)
	}
	workers, supervisors := m.sandboxes("r")
	if len(workers) != 1 || len(supervisors) < 2 {
		t.Errorf("the run has had %d workers and %d supervisors, want one, and a successor", len(workers), len(supervisors))
	}
	if spec := m.expect(0, nil, "volume", "get", "outputs", "/runs/r/run.json", "-").stdout; !strings.Contains(spec, `"environment": "dev"`) {
		t.Errorf("run.json does not say where the run is:\n%s", spec)
	}

	m.expect(0, nil, "stop", "r")
	profile := filepath.Join(filepath.Dir(m.tmp), "profile.toml")
	text := "[someone]\nactive = true\nenvironment = \"dev\"\n"
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.env = append(slices.Clone(env), "MODAL_ENVIRONMENT=", "MODAL_CONFIG_PATH="+profile)
	m.expect(0, nil, "run", pluginPath("walk"), "--name", "s", "-S", "steps=10")
	m.env = append(slices.Clone(env), "MODAL_ENVIRONMENT=")
	m.expect(0, nil, "run", pluginPath("walk"), "--name", "t", "-S", "steps=10", "--modal-env", "dev")
	if got := m.environments(); !slices.Equal(got, []string{"dev"}) {
		t.Errorf("something was made in environments %q, want all of it in dev", got)
	}
	m.nothing() // in the environment that is the account's own
}

// What a run was given stays with it until it is given anew, and is what Modal is asked for.
func TestWhatARunOnModalIsLivedOnStaysWithIt(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "tables", "--version", "2")
	m.fake.MustModal(t, "secret", "create", "service", "SERVICE_KEY=a-key")
	m.expect(0, nil, "volume", "put", "tables", filepath.Join(m.data("numbers", "one"), "list.txt"), "/list.txt")
	m.expect(3, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=error", "--env-var", "OTHER=kept",
		"--image", "debian:trixie", "--apt", "libgomp1,git", "--cpu", "1.5", "--memory", "2GiB", "--secret", "service=SERVICE_KEY", "--mount", "tables:numbers")
	m.expect(3, nil, "resume", "r", "--gpu", "H100:2", "--device", "go", "--max-cost", "100")
	m.expect(0, nil, "resume", "r", "--env-var", "FAULTY=environment", "--gpu", "")
	workers, supervisors := m.sandboxes("r")
	if len(workers) != 3 || len(supervisors) != 3 {
		t.Fatalf("the run has had %d workers and %d supervisors", len(workers), len(supervisors))
	}
	spec := m.expect(0, nil, "volume", "get", "outputs", "/runs/r/run.json", "-").stdout
	options := decode[struct {
		Options struct {
			Modal struct {
				Image       string
				Apt, Layers []string
			}
		}
	}](m.bench, spec).Options.Modal
	if options.Image != "debian:trixie" || !slices.Equal(options.Apt, []string{"libgomp1", "git"}) || len(options.Layers) != 1 {
		t.Errorf("run.json has %+v", options)
	}
	for i, worker := range workers {
		definition := worker.definition(m)
		of := definition.GetResources()
		if of.GetMilliCpu() != 1500 || of.GetMemoryMb() != 2048 || len(definition.GetSecretIds()) != 1 || len(definition.GetVolumeMounts()) != 2 {
			t.Errorf("attempt %d was on %v, with %d Secrets and %d volumes", i+1, of, len(definition.GetSecretIds()), len(definition.GetVolumeMounts()))
		}
		var cpuMost, memoryMost, gpus uint32
		if i > 0 { // Modal bills what is used beyond what is reserved
			cpuMost, memoryMost = 1500, 2048
		}
		if i == 1 {
			gpus = 2
		}
		if of.GetMilliCpuMax() != cpuMost || of.GetMemoryMbMax() != memoryMost || of.GetGpuConfig().GetCount() != gpus {
			t.Errorf("attempt %d may use %v", i+1, of)
		}
		image := strings.Join(worker.image(m), "\n")
		if !strings.HasPrefix(image, "FROM debian:trixie\n") || !strings.Contains(image, " libgomp1 git ") {
			t.Errorf("attempt %d was in %q", i+1, image)
		}
		if withXLA := strings.Contains(image, "ENV MTT_SITE=/opt/mtt/site") && strings.Contains(image, "--target /opt/mtt/site"); withXLA != (i == 1) {
			t.Errorf("attempt %d was in %q", i+1, image)
		}
		if want := map[string]string{"mtt_run": "r", "mtt_attempt": fmt.Sprint(i + 1)}; !maps.Equal(worker.Tags, want) {
			t.Errorf("attempt %d has the tags %v", i+1, worker.Tags)
		}
	}
	for i, supervisor := range supervisors {
		if want := map[string]string{"mtt_run": "r", "mtt_supervisor": fmt.Sprint(i + 1)}; !maps.Equal(supervisor.Tags, want) {
			t.Errorf("supervisor %d has the tags %v", i+1, supervisor.Tags)
		}
	}
	environment := m.expect(0, nil, "volume", "get", "outputs", "/files/r/environment.txt", "-").stdout
	if !strings.Contains(environment, "OTHER=kept") || !strings.Contains(environment, "SERVICE_KEY=a-key") {
		t.Errorf("the plugin's environment is\n%s", environment)
	}
}

// What is gone when the next attempt is to begin ends the run with what it is; what was made anew is found.
func TestWhatIsGoneFromModalIsNamed(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "tables", "--version", "2")
	m.fake.MustModal(t, "secret", "create", "service", "SERVICE_KEY=a-key")
	m.expect(0, nil, endless("--name", "r", "-d", "--secret", "service=SERVICE_KEY", "--mount", "tables:numbers")...)
	m.saved("r", 100)

	m.fake.MustModal(t, "secret", "delete", "service", "--yes")
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.expect(5, []string{"no Secret service with the key SERVICE_KEY"}, "wait", "r")

	m.fake.MustModal(t, "secret", "create", "service", "SERVICE_KEY=a-key")
	m.expect(0, nil, "resume", "r", "-d")
	m.is("r", "RUNNING")
	ctx, client := m.raw()
	workers, _ := m.sandboxes("r")
	last := len(workers)
	if _, err := client.ImageDelete(ctx, pb.ImageDeleteRequest_builder{ImageId: workers[last-1].definition(m).GetImageId()}.Build()); err != nil {
		t.Fatal(err)
	}
	m.fake.MustModal(t, "secret", "delete", "service", "--yes")
	m.fake.MustModal(t, "secret", "create", "service", "SERVICE_KEY=another-key")
	m.saved("r", m.checkpoints("r")[0].Step+1)
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.until("another attempt lives", func() bool {
		workers, _ = m.sandboxes("r")
		return len(workers) > last && m.modalInfo("r").State == "RUNNING"
	})

	m.fake.MustModal(t, "volume", "delete", "tables", "--yes")
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.expect(5, []string{"there is no volume tables, which --mount names", "mtt-host resume r --mount VOLUME:NAME"}, "wait", "r")
}
