package exactness

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// full is a key with every part.
func full() Key {
	return Key{
		Version: Version, PluginSHA256: "p", Device: "cuda", DeviceModel: "H100", GOARCH: "amd64", PJRTSHA256: "x",
		Devices: 1, Driver: "580", CPU: CPU{"Intel", "6", "143", "8", "avx fma"}, Threads: 2, Libraries: "l",
		Variables: map[string]string{"XLA_FLAGS": "--a=1"}, Data: map[string]Data{"digits": {"/data", "f", "c"}},
	}
}

// TestEveryPartCounts changes each field of a key, also those that a later version adds and forgets to compare.
func TestEveryPartCounts(t *testing.T) {
	if found := Differences(full(), full()); found != nil {
		t.Errorf("a key differs from itself: %q", found)
	}
	fields := reflect.TypeFor[Key]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		if name == "CurvesLost" { // which is no matter of two keys
			continue
		}
		now := full()
		switch field := reflect.ValueOf(&now).Elem().Field(i); field.Kind() {
		case reflect.String:
			field.SetString("other")
		case reflect.Int:
			field.SetInt(field.Int() + 1)
		default:
			field.SetZero()
		}
		if len(Differences(full(), now)) == 0 {
			t.Errorf("nothing is said of another %s", name)
		}
		if before, after := linesText(full()), linesText(now); before == after && name != "Version" {
			t.Errorf("the lines do not show another %s", name)
		}
	}
	cpu := reflect.TypeFor[CPU]()
	for i := range cpu.NumField() {
		now := full()
		reflect.ValueOf(&now.CPU).Elem().Field(i).SetString("other")
		if len(Differences(full(), now)) == 0 {
			t.Errorf("nothing is said of another %s of the CPU", cpu.Field(i).Name)
		}
	}
}

func linesText(k Key) (text string) {
	for _, line := range k.Lines() {
		text += line[0] + " " + line[1] + "\n"
	}
	return text
}

func TestPartsOfAnotherVersionAreUnrecordedNotDifferent(t *testing.T) {
	old := Key{PluginSHA256: "p", Device: "cuda", DeviceModel: "H100", GOARCH: "amd64", PJRTSHA256: "x"}
	for _, keys := range [][2]Key{{old, full()}, {full(), old}, {old, old}} {
		found := Differences(keys[0], keys[1])
		if len(found) != 1 || !strings.HasPrefix(found[0], "unrecorded by an older mtt-host: number of devices, GPU driver, CPU") {
			t.Errorf("found is %q", found)
		}
	}
	other := old
	other.DeviceModel = "A100"
	if found := Differences(other, full()); len(found) != 2 || found[0] != "device model: was A100, is H100" {
		t.Errorf("found is %q", found)
	}
}

func TestAnotherDeviceIsSaidOnce(t *testing.T) {
	now := full()
	now.Device, now.DeviceModel, now.Threads, now.Driver = "go", "EPYC", 0, ""
	if found := Differences(full(), now); !slices.Equal(found, []string{"device: was cuda, is go"}) {
		t.Errorf("found is %q", found)
	}
}

func TestSecretIsComparedByItsHash(t *testing.T) {
	keyOf := func(value string, secret bool) Key {
		return Key{Version: Version, Variables: Variables(map[string]string{"XLA_FLAGS": value}, func(string) bool { return secret })}
	}
	if got := keyOf("--secret=1", true).Variables["XLA_FLAGS"]; strings.Contains(got, "secret") || !isHash(got) {
		t.Errorf("recorded is %q", got)
	}
	if found := Differences(keyOf("--b=1 --a", true), keyOf("--a=true --b=1", false)); found != nil {
		t.Errorf("the same value from a secret and not is said to differ: %q", found)
	}
	found := Differences(keyOf("--secret=1", true), keyOf("--secret=2", true))
	if len(found) != 1 || strings.Contains(found[0], "--secret") {
		t.Errorf("of a secret that was rotated is said %q", found)
	}
}

func TestVariablesAreThoseThatCalculate(t *testing.T) {
	for value, c := range map[string]struct{ name, want string }{
		"--b=2  --a --b=1\n":    {"XLA_FLAGS", "--a=true --b=2 --b=1"},
		"--b='x y' --a=1":       {"XLA_FLAGS", "--b='x y' --a=1"},
		"--xla_dump_to=/d --c":  {"XLA_FLAGS", "--c=true"},
		"gctrace=1,a=1,a=2,":    {"GODEBUG", "a=2,gctrace=1"},
		"/lib/other.so":         {"LD_PRELOAD", "/lib/other.so"},
		"":                      {"OMP_NUM_THREADS", ""},
		"glibc.cpu.hwcaps=-AVX": {"GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX"},
	} {
		got := Variables(map[string]string{c.name: value}, func(string) bool { return false })
		if !maps.Equal(got, map[string]string{c.name: c.want}) {
			t.Errorf("%s=%q is %q, want %q", c.name, value, got, c.want)
		}
	}
	for _, name := range []string{
		"PATH", "HOME", "WALK", "TF_VAR_password", "TF_TOKEN_app_terraform_io", "TF_CLI_CONFIG_FILE", "NVIDIA_API_KEY", "JAX_TOKEN",
		"CUDA_VISIBLE_DEVICES", "PJRT_PLUGIN_LIBRARY_PATH", "GOMAXPROCS", "GOGC",
	} {
		if got := Variables(map[string]string{name: "x"}, func(string) bool { return false }); len(got) > 0 {
			t.Errorf("%s is a part of the key", name)
		}
	}
	if got := Variables(map[string]string{"XLA_FLAGS": " "}, func(string) bool { return false }); len(got) > 0 {
		t.Errorf("no flags are %q", got)
	}
	for _, name := range []string{"TF_TOKEN_x", "TF_VAR_x", "NVIDIA_API_KEY", "HIP_SECRET", "OMP", "AWS_ACCESS_KEY_ID"} {
		if Numeric(name) {
			t.Errorf("a plugin gets %s of the host's environment", name)
		}
	}
}

func TestHarmlessVariablesAreNumericAndHaveAReason(t *testing.T) {
	for name, reason := range harmless {
		if !Numeric(name) || reason == "" {
			t.Errorf("%s is on the list without need, or without a reason: %q", name, reason)
		}
	}
}
