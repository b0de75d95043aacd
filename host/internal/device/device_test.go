package device

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/exactness"
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
			_, _, err := Choose(CUDA, all, nil, false)
			known, ok := err.(*exit.Error)
			if !ok || known.Code != exit.Usage || !strings.Contains(err.Error(), c.says) || !strings.Contains(known.Next, c.next) {
				t.Errorf("a named device: %v; want %q and %q", err, c.says, c.next)
			}
			got, notes, err := Choose(Auto, all, nil, false)
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
	got, notes, err := Choose(Auto, []string{Go}, nil, false)
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
		got, notes, err := Choose(Auto, all, map[string]string{"XLA_FLAGS": "--xla_gpu_deterministic_ops=false"}, exact)
		if err != nil || len(notes) > 0 {
			t.Fatalf("%v, notes %q", err, notes)
		}
		if got.Name != CUDA || got.Model != "NVIDIA H200" || got.Driver != "580.95.05" || len(got.PJRTSHA256) != 64 || got.Deterministic() != exact {
			t.Errorf("with exact %v: %+v", exact, got)
		}
		links := t.TempDir()
		environment := got.Environment(map[string]string{"LD_LIBRARY_PATH": "/named", "GOMLX_BACKEND": "go"}, links)
		if err := got.Link(links); err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(m.dir, "site/nvidia/cu13/lib"); environment["LD_LIBRARY_PATH"] != want+":/named" {
			t.Errorf("LD_LIBRARY_PATH is %q, want %q first", environment["LD_LIBRARY_PATH"], want)
		}
		if strings.HasSuffix(environment["XLA_FLAGS"], deterministic+"true") != exact || environment["GOMLX_BACKEND"] != "xla:cuda" {
			t.Errorf("with exact %v: %v", exact, environment)
		}
		if at, err := os.Readlink(filepath.Join(links, "pjrt_c_api_cuda_plugin.so")); err != nil || at != got.PJRT {
			t.Errorf("the plugin is linked to %q: %v", at, err)
		}
	}
}

func TestProcessorIsKnownWhateverItsNameSays(t *testing.T) {
	for name, c := range map[string]struct {
		cpuinfo string
		want    exactness.CPU
		model   string
	}{
		"gVisor": {
			"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: unknown\nstepping\t: unknown\n" +
				"flags\t\t: fpu avx512f avx2 fma ibrs sse4_2 arch_capabilities\n\nprocessor\t: 1\nmodel\t: 1\n",
			exactness.CPU{Vendor: "GenuineIntel", Family: "6", Model: "143", Stepping: "unknown", Features: "avx2 avx512f fma sse4_2"}, "unknown",
		},
		"arm64": {
			"processor\t: 0\nFeatures\t: sve fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n",
			exactness.CPU{Vendor: "0x41", Family: "8", Model: "0xd40", Stepping: "0x1 1", Features: "asimd fp sve"}, "0x41 0xd40",
		},
		"no cpuinfo": {"", exactness.CPU{}, brand()},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write("proc/cpuinfo", c.cpuinfo)
			got, _, err := Choose(Go, all, nil, false)
			if err != nil || got.CPU != c.want || got.Model != c.model {
				t.Errorf("got %+v, %q, %v; want %+v, %q", got.CPU, got.Model, err, c.want, c.model)
			}
		})
	}
}

func TestGPUsAreThoseThatThePluginSees(t *testing.T) {
	m := newMachine(t)
	m.gpu()
	m.pjrt()
	m.write("dev/nvidia1", "")
	m.write("proc/cpuinfo", "flags : fma avx2 avx512f sse2\n")
	for visible, c := range map[string]struct {
		count int
		model string
	}{
		"0": {1, "NVIDIA H200"}, "1,0": {2, "NVIDIA H200"}, "GPU-1234": {1, "NVIDIA H200"}, "0,7,1": {1, "NVIDIA H200"}, "": {0, "NVIDIA H200"}, "-1": {0, "NVIDIA H200"},
		"MIG-12": {1, "NVIDIA H200 (CUDA_VISIBLE_DEVICES MIG-12)"}, "unset": {2, "NVIDIA H200"},
	} {
		environment := map[string]string{"CUDA_VISIBLE_DEVICES": visible}
		if visible == "unset" {
			environment = nil
		}
		got, _, err := Choose(CUDA, all, environment, false)
		if err != nil || got.Count != c.count || got.Model != c.model || got.CPU.Features != "avx2 fma" {
			t.Errorf("with CUDA_VISIBLE_DEVICES %q: %+v, %v; want %+v", visible, got, err, c)
		}
	}
	m.write("proc/driver/nvidia/gpus/0000:1f:00.0/information", "Model: NVIDIA A100\n")
	got, _, err := Choose(CUDA, all, map[string]string{"CUDA_VISIBLE_DEVICES": "1"}, false)
	if want := "NVIDIA A100, NVIDIA H200 (CUDA_VISIBLE_DEVICES 1)"; err != nil || got.Model != want {
		t.Errorf("unlike GPUs are %q, %v; want %q", got.Model, err, want)
	}
}

func TestFlagsInAFileAreReadByTheHost(t *testing.T) {
	m := newMachine(t)
	m.gpu()
	m.pjrt()
	m.write("flags", "  --xla_a=1\n--xla_b=2\n")
	got, _, err := Choose(CUDA, all, map[string]string{"XLA_FLAGS": filepath.Join(m.dir, "flags")}, true)
	if want := "--xla_a=1\n--xla_b=2 " + deterministic + "true"; err != nil || got.XLAFlags != want {
		t.Errorf("the flags are %q, %v; want %q", got.XLAFlags, err, want)
	}
}

func TestLibrariesAreThoseThatALinkerFinds(t *testing.T) {
	m := newMachine(t)
	m.write("a/libm.so.6", "one")
	m.write("b/libm.so.6", "another")
	m.write("c/libm.so.6", "one")
	m.write("c/README", "no library")
	in := func(dirs ...string) string {
		for i, dir := range dirs {
			dirs[i] = filepath.Join(m.dir, dir)
		}
		return Libraries(map[string]string{"LD_LIBRARY_PATH": strings.Join(dirs, ":")})
	}
	if in("a") == "" || in("a") != in("c") || in("a", "b") != in("a") || in("nowhere", "a") != in("a") {
		t.Error("the same libraries in other directories are taken for others")
	}
	if in("a") == in("b") || in("b", "a") == in("a", "b") || in("nowhere") != "" || Libraries(nil) != "" {
		t.Error("other libraries are taken for the same")
	}
}
