package device

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// machine is a tree of files that looks like another machine to Choose.
type machine struct {
	*testing.T
	dir string
}

func newMachine(t *testing.T) machine {
	m := machine{t, t.TempDir()}
	before := root
	root = m.dir
	t.Cleanup(func() { root = before })
	t.Setenv("MTT_SITE", filepath.Join(m.dir, "site"))
	t.Setenv("HOME", m.dir)
	t.Setenv("PATH", "") // no nvidia-smi
	for _, name := range []string{"GOMLX_BACKEND", "XLA_FLAGS", "PJRT_PLUGIN_LIBRARY_PATH"} {
		t.Setenv(name, "")
	}
	return m
}

func (m machine) write(path, content string) {
	m.Helper()
	path = filepath.Join(m.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m machine) gpu() {
	m.write("dev/nvidia0", "")
	m.write("proc/driver/nvidia/gpus/0000:0f:00.0/information", "Model: \t\t NVIDIA H200\nIRQ: 77\n")
	m.write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n")
}

const cudaPlugin = "site/jax_plugins/xla_cuda13/xla_cuda_plugin.so"

// pjrt puts a real PJRT plugin where that for CUDA belongs: what is looked at is its form.
func (m machine) pjrt() {
	m.Helper()
	source, _ := filepath.Abs("../../../.site/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so")
	if _, err := os.Stat(source); err != nil {
		const missing = "XLA for the CPU is missing: run `make .site/installed`"
		if os.Getenv("CI") != "" {
			m.Fatal(missing)
		}
		m.Skip("SKIPPED: " + missing)
	}
	m.write(cudaPlugin, "")
	target := filepath.Join(m.dir, cudaPlugin)
	if err := os.Remove(target); err != nil {
		m.Fatal(err)
	}
	if err := os.Symlink(source, target); err != nil {
		m.Fatal(err)
	}
}

var all = []string{CUDA, CPU, Go}

func TestCUDAThatCannotBeUsedIsRefusedWithItsRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		machine    func(m machine)
		says, next string
		note       string // of auto, which falls back to pure Go
	}{
		"a GPU without the plugin": {machine.gpu, `no PJRT plugin of XLA here for device "cuda"`, "mtt-host doctor --install cuda", "the GPU is not used, since XLA for it is not installed"},
		"a plugin without a GPU":   {machine.pjrt, "no NVIDIA GPU here", "--device go", ""},
		"a broken plugin": {func(m machine) { m.gpu(); m.write(cudaPlugin, "cut short") },
			cudaPlugin + " is no shared library", "doctor --install", "the GPU is not used: "},
		"a driver that does not answer": {func(m machine) { m.write("dev/nvidia0", ""); m.pjrt() },
			"its driver does not answer", "Run nvidia-smi", "the GPU is not used: there is an NVIDIA GPU, and its driver"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.machine(m)
			_, _, err := Choose(CUDA, all, false)
			known, ok := err.(*exit.Error)
			if !ok || known.Code != exit.Usage || !strings.Contains(err.Error(), c.says) || !strings.Contains(known.Next, c.next) {
				t.Errorf("a named device: %v; want %q and %q", err, c.says, c.next)
			}
			got, notes, err := Choose(Auto, all, false)
			said := slices.ContainsFunc(notes, func(note string) bool { return strings.Contains(note, c.note) })
			if err != nil || got.Name != Go || c.note != "" && !said {
				t.Errorf("auto: %v, %v, notes %q; want go, and %q", got, err, notes, c.note)
			}
		})
	}
}

func TestPluginWithoutXLALeavesTheGPUAloud(t *testing.T) {
	m := newMachine(t)
	m.gpu()
	m.pjrt()
	got, notes, err := Choose(Auto, []string{Go}, false)
	if err != nil || got.Name != Go || len(notes) != 1 || !strings.Contains(notes[0], "built without XLA (cgo)") {
		t.Errorf("got %v, %v, notes %q", got, err, notes)
	}
}

func TestCUDAIsDescribedAndPrepared(t *testing.T) {
	m := newMachine(t)
	m.gpu()
	m.pjrt()
	m.write("site/nvidia/cu13/lib/libcublas.so.13", "")
	for _, exact := range []bool{false, true} {
		got, notes, err := Choose(Auto, all, exact)
		if err != nil || len(notes) > 0 {
			t.Fatalf("%v, notes %q", err, notes)
		}
		if got.Name != CUDA || got.Model != "NVIDIA H200" || got.Driver != "580.95.05" || len(got.PJRTSHA256) != 64 || got.Deterministic() != exact {
			t.Errorf("with exact %v: %+v", exact, got)
		}
		links := t.TempDir()
		environment, err := got.Environment(links)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(m.dir, "site/nvidia/cu13/lib"); !strings.HasPrefix(environment["LD_LIBRARY_PATH"], want) {
			t.Errorf("LD_LIBRARY_PATH is %q, want %q first", environment["LD_LIBRARY_PATH"], want)
		}
		if strings.Contains(environment["XLA_FLAGS"], deterministic) != exact || environment["GOMLX_BACKEND"] != "xla:cuda" {
			t.Errorf("with exact %v: %v", exact, environment)
		}
		if at, err := os.Readlink(filepath.Join(links, "pjrt_c_api_cuda_plugin.so")); err != nil || at != got.PJRT {
			t.Errorf("the plugin is linked to %q: %v", at, err)
		}
	}
}
