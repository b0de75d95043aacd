package main_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPluginGetsNoCredential also holds that nothing else of the host's environment reaches the plugin, but for what
// is on the allow-list and what --env-var names.
func TestPluginGetsNoCredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	allowed := []string{
		"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", "LD_LIBRARY_PATH=/nowhere",
		"CUDA_VISIBLE_DEVICES=3", "NVIDIA_VISIBLE_DEVICES=all", "XLA_FLAGS=--some", "GOMLX_BACKEND=go", "PJRT_PLUGIN=none",
		"OMP_NUM_THREADS=2", "TF_ENABLE_ONEDNN_OPTS=0", "OPENBLAS_CORETYPE=Haswell",
	}
	b.env = append([]string{
		"MODAL_TOKEN_ID=secret-1", "MODAL_TOKEN_SECRET=secret-2", "MODAL_X=secret-3", "AWS_SECRET_ACCESS_KEY=secret-4",
		"GITHUB_TOKEN=secret-5", "SSH_AUTH_SOCK=secret-6", "MTT_SECRET=secret-7", "NOTMODAL_X=secret-8",
		"PLUGIN_SECRET=secret-9", "XLAFLAGS=secret-10", "LCALL=secret-11",
		"NVIDIA_API_KEY=secret-12", "TF_VAR_password=secret-13", "TF_TOKEN_app_terraform_io=secret-14",
	}, allowed...)
	b.expect(0, nil, "run", pluginPath("faulty"), "--name", "environment",
		"--env-var", "FAULTY=environment", "--env-var", "DATA_KEY=asked=for", "--env-var", "LANG=en_GB.UTF-8")

	raw, err := os.ReadFile(b.path("files", "environment", "environment.txt"))
	if err != nil {
		b.Fatal(err)
	}
	environment := strings.Split(string(raw), "\n")
	for _, variable := range slices.Concat(allowed[1:], []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "FAULTY=environment", "DATA_KEY=asked=for", "LANG=en_GB.UTF-8",
	}) {
		if !slices.Contains(environment, variable) {
			b.Errorf("the plugin did not get %s", variable)
		}
	}
	known := []string{
		"PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS", "GOMLX_BACKEND", "PJRT_PLUGIN", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_CORETYPE", // allowed
		"FAULTY", "DATA_KEY", // named
		"TMPDIR", "MTT_PLUGIN", "MTT_HOST_PID", "MTT_LOCK_FD", "GOMLX_NO_AUTO_INSTALL", // mtt's own
		"PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC", // go-plugin's own
	}
	for _, variable := range environment {
		if name, _, _ := strings.Cut(variable, "="); !slices.Contains(known, name) || strings.Contains(variable, "secret-") {
			b.Errorf("the plugin got %s", variable)
		}
	}
	if strings.Contains(string(raw), b.tmp+"\n") {
		b.Error("the plugin's TMPDIR is that of the host, where it would leave what it makes")
	}
}

// passed are the arguments of a run whose plugin writes down its environment, and which is given the variable SERVICE_KEY.
func passed(name, fault string, more ...string) []string {
	return append([]string{"run", pluginPath("faulty"), "--name", name, "--env-var", "FAULTY=" + fault, "--env-var", "SERVICE_KEY"}, more...)
}

func passedVariable(b *bench) {
	unset := b.env
	set := func(value string) { b.env = append(slices.Clone(unset), "SERVICE_KEY="+value) }
	missing := []string{"the variable SERVICE_KEY", "is not set", "--env-var SERVICE_KEY=VALUE"}
	b.expect(2, missing, passed("none", "environment")...)
	b.expect(2, missing, passed("none", "environment", "-d")...)
	if made, _ := filepath.Glob(b.path("runs", "*")); len(made) > 0 {
		b.Errorf("there are runs: %q", made)
	}

	set("value-1")
	b.expect(3, nil, passed("r", "error")...)
	b.expect(75, nil, passed("k", "killed")...)
	b.env = unset
	b.expect(2, missing, "resume", "r", "--env-var", "FAULTY=environment")
	b.expect(2, missing, "run", pluginPath("faulty"), "--name", "k", "--env-var", "FAULTY=none") // which goes on with it
	b.expect(2, missing, passed("other", "environment", "--dry-run")...)
	set("value-2")
	b.expect(0, nil, "resume", "r", "--env-var", "FAULTY=environment")
	b.gaveKey("r", "value-2")
	b.expect(0, nil, passed("d", "environment", "-d")...)
	b.expect(0, nil, "wait", "d")
	b.gaveKey("d", "value-2")
	b.noRecordHas("value-1")
	b.noRecordHas("value-2")

	b.expect(3, nil, passed("s", "error")...)
	b.env = unset
	b.expect(0, nil, "resume", "s", "--env-var", "FAULTY=environment", "--env-var", "SERVICE_KEY=told")
	b.gaveKey("s", "told")
	b.expect(0, nil, "plugin", "describe", pluginPath("faulty"), "--env-var", "FAULTY=none")
	b.expect(2, missing, "plugin", "describe", pluginPath("faulty"), "--env-var", "FAULTY=none", "--env-var", "SERVICE_KEY")
}

// gaveKey wants the plugin of a run to have had SERVICE_KEY.
func (b *bench) gaveKey(run, value string) {
	b.Helper()
	raw, err := os.ReadFile(b.path("files", run, "environment.txt"))
	if err != nil {
		b.Fatal(err)
	}
	if !slices.Contains(strings.Split(string(raw), "\n"), "SERVICE_KEY="+value) {
		b.Errorf("the plugin of run %s was not given the value %q", run, value)
	}
}

// noRecordHas looks for a text in all that mtt has written of runs.
func (b *bench) noRecordHas(text string) {
	b.Helper()
	for _, kind := range []string{"runs", "checkpoints", "bin"} {
		err := filepath.WalkDir(b.path(kind), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() { // of Modal's runs, not all is here
				return nil
			}
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(path)
			if strings.Contains(string(raw), text) {
				b.Errorf("%s has it", path)
			}
			return err
		})
		if err != nil {
			b.Error(err)
		}
	}
}

func passedVariableOnModal(b *bench) {
	m := newModalBench(b.T)
	unset := m.env
	set := func(value string) { m.env = append(slices.Clone(unset), "SERVICE_KEY="+value) }
	m.expect(2, []string{"the variable SERVICE_KEY", "is not set"}, passed("r", "error", "-d")...)
	set("value-1")
	m.expect(3, nil, passed("r", "error", "-S", "steps=300", "-S", "pause_ms=10")...)
	m.env = unset
	m.expect(2, []string{"the variable SERVICE_KEY", "is not set"}, "resume", "r", "-d")
	set("value-2")
	m.expect(0, nil, "resume", "r", "-d", "--env-var", "FAULTY=environment", "--supervisor-limit", "1s")
	var secrets []string
	m.until("a supervisor has handed over", func() bool {
		secrets = append(secrets, m.secretNames()...)
		_, supervisors := m.sandboxes("r")
		return len(supervisors) > 2
	})
	m.expect(0, nil, "wait", "r")
	if text := m.expect(0, nil, "volume", "get", "outputs", "files/r/environment.txt", "-").stdout; !strings.Contains(text, "\nSERVICE_KEY=value-2\n") {
		m.Errorf("the plugin was not given the variable: %s", text)
	}
	if names := m.secretNames(); !slices.Equal(names, []string{"mtt-supervisor"}) || len(secrets) == 0 {
		m.Errorf("behind the run there are the Secrets %q, while it was active %q", names, secrets)
	}
	m.fetch("r")
	m.noRecordHas("value-1")
	m.noRecordHas("value-2")
	for _, kind := range []string{"sandboxes", "logs"} {
		paths, _ := filepath.Glob(filepath.Join(m.fake.State, kind, "*"))
		for _, path := range paths {
			if raw, err := os.ReadFile(path); err != nil || strings.Contains(string(raw), "value-") {
				m.Errorf("what Modal has of a Sandbox has it: %s, %v", path, err)
			}
		}
	}
}

// secretNames are those of the Secrets that there are.
func (m *modalBench) secretNames() (names []string) {
	m.Helper()
	paths, _ := filepath.Glob(filepath.Join(m.fake.State, "secrets", "*.json"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err == nil { // it is not removed just now
			names = append(names, decode[struct{ Name string }](m.bench, string(raw)).Name)
		}
	}
	return names
}

func recordedVariable(b *bench) {
	b.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-S", "steps=10", "--env-var", "KEY=value")
	info, err := os.Stat(b.path("runs", "r", "run.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		b.Errorf("run.json has mode %v, %v", info.Mode(), err)
	}
	if help := b.expect(0, nil, "run", "--help").stdout; !strings.Contains(help, "NAME alone") {
		b.Errorf("the help does not say how a value is kept out of the records: %s", help)
	}
}

// A build that the settings of the go command make fail is no fault of the plugin's.
func TestSettingOfTheGoCommandIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir, err := filepath.Abs("../../../plugins/walk")
	if err != nil {
		b.Fatal(err)
	}
	for name, values := range map[string][]string{
		"GOFLAGS": {"-mod=foo", "-bogus", "bogus"}, "GOPATH": {"relative"}, "GOTOOLCHAIN": {"bogus", "go1.99.0"}, "GOROOT": {"/nowhere"},
		"GOWORK": {"/nowhere/go.work"}, "GO111MODULE": {"off"}, "GOEXPERIMENT": {"nonsense"}, "GOPROXY": {"off"},
	} {
		for _, value := range values {
			b.env = []string{"GOPROXY=off", name + "=" + value}
			if name == "GOPROXY" {
				b.env = append(b.env, "GOMODCACHE="+b.dir("modules"))
			}
			r := b.expect(2, []string{"was not built, since the go command cannot work with its " + name + ":", "go env " + name}, "plugin", "describe", dir)
			if strings.Contains(r.stderr, "does not build") {
				b.Errorf("%s=%s: the plugin is blamed: %v", name, value, r)
			}
		}
	}
	b.env = nil
	b.expect(2, []string{"does not build", "undefined: GOFLAGS"}, "plugin", "describe", source(b, "main.go", "package main\n\nfunc main() { GOFLAGS() }\n"))
}
