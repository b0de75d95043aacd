package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// site is mtt's own site directory, with XLA for the CPU, which `make test` installs.
func site(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MTT_SITE")
	if dir == "" {
		dir, _ = filepath.Abs("../../../.site")
	}
	if !exists(filepath.Join(dir, "xla_plugins")) {
		const missing = "XLA for the CPU is missing: run `make .site/installed`"
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip("SKIPPED: " + missing)
	}
	return dir
}

func hasGPU() bool {
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	return len(devices) > 0
}

// besideOthers has a test run beside others, unless they would have to share a GPU.
func besideOthers(t *testing.T) {
	if !hasGPU() {
		t.Parallel()
	}
}

// withDevice is a bench whose mtt-host finds what a device needs.
func withDevice(t *testing.T, device string) *bench {
	b := newBench(t)
	switch device {
	case "cpu":
		b.env = append(b.env, "MTT_SITE="+site(t))
	case "cuda": // the wheels are those of the python3 on PATH
		b.env = append(b.env, "LD_LIBRARY_PATH="+os.Getenv("LD_LIBRARY_PATH"))
	}
	return b
}

func TestKillCostsNothingOnXLA(t *testing.T) {
	besideOthers(t)
	victims := map[string]victim{
		"cpu": {kills: 3, alone: 4 * time.Second, args: []string{"--device", "cpu", "--exact", "-S", "steps=400", "--checkpoint-every", "20"}},
	}
	if hasGPU() {
		victims["cuda"] = victim{kills: 10, alone: 10 * time.Second, args: []string{"--device", "cuda", "--exact", "-S", "steps=2000", "--checkpoint-every", "50"}}
	}
	for device, v := range victims {
		for _, model := range []string{"mlp", "cnn"} {
			t.Run(device+"/"+model, func(t *testing.T) {
				v.plugin, v.soak = "train-xla", 20
				v.args = append(v.args[:len(v.args):len(v.args)], "-S", "model="+model)
				v.survives(t, withDevice(t, device))
			})
		}
	}
}

func TestDeviceThatIsNamedNeverFallsBack(t *testing.T) {
	b := newBench(t)
	empty := filepath.Join(filepath.Dir(b.tmp), "empty")
	b.env = append(b.env, "MTT_SITE="+empty)
	b.expect(2, []string{"no PJRT plugin", "doctor --install xla-cpu"}, "run", pluginPath("train-xla"), "--device", "cpu")
	b.expect(2, []string{"not built for device", "cgo"}, "run", pluginPath("train"), "--device", "cpu")
	if !hasGPU() {
		b.expect(2, []string{"no NVIDIA GPU", "--device go"}, "run", pluginPath("train-xla"), "--device", "cuda")
	}
	b.expect(2, []string{"want one of auto, go, cpu, cuda"}, "run", pluginPath("train-xla"), "--device", "tpu")
	if exists(b.path("runs")) {
		if runs, _ := os.ReadDir(b.path("runs")); len(runs) > 0 {
			t.Errorf("a run was made all the same: %v", runs)
		}
	}
	// What is there and broken is named, and is no crash.
	plugin := filepath.Join(empty, "xla_plugins", "xla_cpu_pjrt", "xla_cpu_pjrt.so")
	if err := os.MkdirAll(filepath.Dir(plugin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.expect(2, []string{plugin, "no shared library"}, "run", pluginPath("train-xla"), "--device", "cpu")
	r := b.expect(0, nil, "run", pluginPath("train-xla"), "-S", "steps=2", "--name", "auto") // which does without
	if !hasGPU() && b.show("auto").Device != "go" {
		t.Errorf("auto did not fall back to go: %v", r)
	}
}

func TestDeviceIsSaidAndRecorded(t *testing.T) {
	t.Parallel()
	b := withDevice(t, "cpu")
	b.env = append(b.env, "XLA_FLAGS=--xla_cpu_enable_fast_math=false")
	steps := []string{"-S", "steps=2"}
	r := b.expect(0, []string{"on cpu (", "PJRT plugin ", "XLA_FLAGS --xla_cpu_enable_fast_math=false"},
		append([]string{"run", pluginPath("train-xla"), "--name", "xla", "--device", "cpu"}, steps...)...)
	type start struct {
		Device    string
		Exactness struct {
			PJRTSHA256  string `json:"pjrt_sha256"`
			DeviceModel string `json:"device_model"`
			GOARCH      string
			Threads     int `json:"xla_threads"`
			Variables   map[string]string
			CPU         struct{ Family, Model, Stepping, Features string }
		}
	}
	recorded := decode[start](b, b.read("runs", "xla", "attempts", "1", "start.json"))
	key := recorded.Exactness
	if recorded.Device != "cpu" || len(key.PJRTSHA256) != 64 || !strings.Contains(r.stderr, "PJRT plugin "+key.PJRTSHA256[:12]) ||
		key.Variables["XLA_FLAGS"] != "--xla_cpu_enable_fast_math=false" || key.DeviceModel == "" || key.GOARCH == "" || key.Threads == 0 || key.CPU.Features == "" {
		t.Errorf("recorded is %+v", recorded)
	}
	b.expect(0, []string{"on go ("}, append([]string{"run", pluginPath("train-xla"), "--name", "named", "--env-var", "GOMLX_BACKEND=go"}, steps...)...)
	const without = "XLA is not in this build"
	b.expect(0, []string{without}, append([]string{"run", pluginPath("train"), "--name", "static"}, steps...)...)
	if r := b.run(append([]string{"run", pluginPath("train-xla"), "--device", "go", "--name", "go"}, steps...)...); strings.Contains(r.stderr, without) {
		t.Errorf("the build with cgo says that it has no XLA: %v", r)
	}
}

func TestCNNLearnsOnXLA(t *testing.T) {
	besideOthers(t)
	b := withDevice(t, "cpu")
	info := decode[runInfo](b, b.expect(0, nil, "run", pluginPath("train-xla"), "--device", "cpu", "-S", "model=cnn", "-o", "json").stdout)
	if info.Result["accuracy"] < 0.97 {
		t.Errorf("the accuracy is %v, want 0.97 or more", info.Result["accuracy"])
	}
}

func TestCheckpointLoadsOnAnotherDeviceAndExactnessIsNotClaimed(t *testing.T) {
	besideOthers(t)
	devices := []string{"go", "cpu"}
	if hasGPU() {
		devices = append(devices, "cuda")
	}
	for _, from := range devices {
		for _, to := range devices {
			if from == to {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				b := withDevice(t, "cuda")
				if from == "cpu" || to == "cpu" {
					b.env = append(b.env, "MTT_SITE="+site(t))
				}
				p := b.start("run", pluginPath("train-xla"), "--name", "r", "--device", from, "-S", "steps=30000", "--checkpoint-every", "50")
				b.eventually("there is a checkpoint", func() bool { return len(manifests(b, "r")) > 0 })
				p.signal(2)
				b.check(p.wait(), 130)
				stopped := b.checkpoints("r")[0]

				b.expect(65, []string{"to be exact, and cannot be", "--exact=false"}, "resume", "r", "--device", to, "--exact")
				// The state that is loaded is saved again at once, since a stop is asked for before the first step.
				next := b.start("resume", "r", "--device", to, "--exact=false", "--checkpoint-every", "50")
				next.waitFor("resumed from checkpoint " + stopped.ID)
				next.waitFor("exactness is not claimed")
				b.eventually("there is a newer checkpoint", func() bool {
					return slices.ContainsFunc(b.checkpoints("r"), func(c checkpointInfo) bool { return c.Step > stopped.Step })
				})
				next.signal(2)
				b.check(next.wait(), 130)
				info := b.show("r")
				if info.Exact || info.Device != to {
					t.Errorf("the run is exact: %v, on %s", info.Exact, info.Device)
				}
			})
		}
	}
}

func TestDoctorNamesEachProblemWithItsRemedy(t *testing.T) {
	b := newBench(t)
	b.env = append(b.env, "MTT_SITE="+filepath.Join(b.tmp, "nothing"))
	type report struct {
		Schema string
		OK     bool
		Checks []struct{ Name, Status, Found, Remedy string }
	}
	good := decode[report](b, b.expect(0, nil, "doctor", "-o", "json").stdout)
	if good.Schema != "mtt.doctor/v1" || !good.OK {
		t.Errorf("the report is %+v", good)
	}
	seen := map[string]string{}
	for _, check := range good.Checks {
		seen[check.Name] = check.Status
		if check.Status != "ok" && check.Remedy == "" {
			t.Errorf("%s is a %s without a remedy", check.Name, check.Status)
		}
	}
	for name, status := range map[string]string{
		"device go": "ok", "device cpu": "warning", "outputs: fsync": "ok", "outputs: locks": "ok", "outputs: rename and link": "ok",
	} {
		if seen[name] != status {
			t.Errorf("%s is %q, want %q", name, seen[name], status)
		}
	}
	file := filepath.Join(filepath.Dir(b.tmp), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.run("doctor", "--outputs", filepath.Join(file, "x"))
	if r.code != 2 || !strings.Contains(r.stdout+r.stderr, "outputs") {
		t.Errorf("outputs below a file: %v", r)
	}
	b.expect(2, []string{"cuda, xla-cpu"}, "doctor", "--install", "tpu")
}
