package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
