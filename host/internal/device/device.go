// Package device finds what an attempt can train on, and prepares the environment in which a plugin trains on it. It
// looks at files and at the driver; it loads no accelerator library into the host, and nothing is ever downloaded.
package device

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// The devices, as --device and the wire name them. Auto is the best that is there: CUDA, XLA on the CPU, pure Go.
const (
	Auto = "auto"
	Go   = "go"
	CPU  = "cpu"
	CUDA = "cuda"
)

// Names are the values of --device.
var Names = []string{Auto, Go, CPU, CUDA}

// Device is what an attempt trains on; all but the paths is part of the key under which a resume is exact.
type Device struct {
	Name   string        // Go, CPU or CUDA
	Model  string        // of the processor or the GPUs
	Count  int           // of GPUs that the plugin sees
	Driver string        // of the GPUs
	CPU    exactness.CPU // what of the processor can change how the device calculates
	// PJRT is the XLA plugin, of CPU and CUDA.
	PJRT       string
	PJRTSHA256 string
	XLAFlags   string

	libraries []string // directories that the dynamic linker needs
}

func (d Device) String() string {
	parts := []string{d.Model}
	if d.Driver != "" {
		parts = append(parts, "driver "+d.Driver)
	}
	if d.PJRT != "" {
		parts = append(parts, fmt.Sprintf("PJRT plugin %.12s", d.PJRTSHA256))
	}
	if d.XLAFlags != "" {
		parts = append(parts, "XLA_FLAGS "+d.XLAFlags)
	}
	return fmt.Sprintf("%s (%s)", d.Name, strings.Join(parts, ", "))
}

// deterministic is the XLA flag without which sums on a GPU are made in any order. It was measured to make training
// repeatable bit for bit, at about a sixth of the speed.
const deterministic = "--xla_gpu_deterministic_ops="

// Choose returns the device that want names, for a plugin that was built for built; empty means that it does not say,
// and then only pure Go is certain. environment is what the plugin gets besides what the device needs. Notes say in words
// what Auto had to do without. A named device that is not there is an error: it never falls back. exact asks for what a
// bit-exact resume needs.
func Choose(want string, built []string, environment map[string]string, exact bool) (device Device, notes []string, err error) {
	if want == Auto {
		want = fromBackend(environment["GOMLX_BACKEND"])
	}
	if err := CheckBuilt(want, built); err != nil {
		return Device{}, nil, err
	}
	if len(built) == 0 {
		built = []string{Go}
	}
	if want != Auto {
		device, err = open(want, environment, exact)
		return device, nil, err
	}
	for _, name := range []string{CUDA, CPU, Go} {
		if !slices.Contains(built, name) {
			if name == CUDA && hasGPU() {
				notes = append(notes, "there is a GPU, and the plugin was built without XLA (cgo), so it is not used")
			}
			continue
		}
		if name == CUDA && !hasGPU() {
			continue
		}
		device, err = open(name, environment, exact)
		if err == nil {
			return device, notes, nil
		}
		notes = append(notes, without(name, err))
	}
	return Device{}, nil, err
}

// CheckBuilt refuses a device that a plugin was not built for, with built as for Choose, wherever that device is. exit.Usage.
func CheckBuilt(want string, built []string) error {
	switch {
	case want == Auto || slices.Contains(built, want) || len(built) == 0 && want == Go:
		return nil
	case len(built) == 0:
		return exit.Errorf(exit.Usage, "the plugin does not name device %q: it names none, and so gets %q", want, Go).
			Hint("An experiment names its devices as Devices of its sdk.Experiment; with GoMLX they are gomlx.Devices().\n%s", withoutIt)
	default:
		return exit.Errorf(exit.Usage, "the plugin was not built for device %q, only for %s", want, strings.Join(built, ", ")).
			Hint("XLA needs a build with cgo (CGO_ENABLED=1 and a C compiler), without the tag noxla, and for a GPU on linux/amd64.\n%s", withoutIt)
	}
}

const withoutIt = "To train without it: --device go"

// without says what Auto does without, and why.
func without(name string, err error) string {
	switch {
	case name == CUDA && errors.Is(err, errNoPJRT):
		return "the GPU is not used, since XLA for it is not installed: mtt-host doctor --install cuda"
	case name == CUDA:
		return fmt.Sprintf("the GPU is not used: %v", err)
	case errors.Is(err, errNoPJRT):
		return "training in pure Go, since XLA is not installed; it is faster: mtt-host doctor --install xla-cpu"
	default:
		return fmt.Sprintf("XLA is not used on the CPU: %v", err)
	}
}

// fromBackend is the device that GOMLX_BACKEND names, which is as good as --device; Auto if it names none.
func fromBackend(backend string) string {
	name, config, _ := strings.Cut(backend, ":")
	config, _, _ = strings.Cut(config, ",")
	switch {
	case name == "go":
		return Go
	case name == "xla" && (config == "cpu" || config == "cuda"):
		return config
	default:
		return Auto
	}
}

// open finds everything that a device needs.
func open(name string, environment map[string]string, exact bool) (Device, error) {
	switch name {
	case Go:
		cpu, model := findCPU()
		return Device{Name: Go, Model: model, CPU: cpu}, nil
	case CPU:
		cpu, model := findCPU()
		return withPJRT(Device{Name: CPU, Model: model, CPU: cpu, XLAFlags: flagsOf(environment)}, environment)
	case CUDA:
		found, err := findGPUs()
		if err != nil {
			return Device{}, err
		}
		device := Device{
			Name: CUDA, Model: found.model(environment), Count: visibleGPUs(environment), Driver: found.driver,
			CPU: hostCPU(), XLAFlags: flagsOf(environment),
		}
		if exact && !device.Deterministic() {
			device.XLAFlags = strings.TrimSpace(device.XLAFlags + " " + deterministic + "true")
		}
		return withPJRT(device, environment)
	default:
		return Device{}, exit.Errorf(exit.Usage, "no device is called %q: want one of %s", name, strings.Join(Names, ", "))
	}
}

// flagsOf are XLA's flags. The variable may name a file with them instead, which may change before XLA reads it.
func flagsOf(environment map[string]string) string {
	flags := environment["XLA_FLAGS"]
	if trimmed := strings.TrimSpace(flags); trimmed == "" || strings.HasPrefix(trimmed, "-") {
		return flags
	}
	content, err := os.ReadFile(flags)
	if read := strings.TrimSpace(string(content)); err == nil && strings.HasPrefix(read, "-") {
		return read
	}
	return flags
}

// Deterministic says whether training on the device repeats bit for bit, as far as was measured.
func (d Device) Deterministic() bool {
	if d.Name != CUDA {
		return true
	}
	last := ""
	for flag := range strings.FieldsSeq(d.XLAFlags) {
		if value, ok := strings.CutPrefix(flag, deterministic); ok {
			last = value
		}
	}
	return strings.EqualFold(last, "true") || last == "1"
}

// Environment adds what a plugin needs to train on the device to an environment, in which it replaces what would train on
// another one. links is a directory of the attempt's, which Link fills.
func (d Device) Environment(environment map[string]string, links string) map[string]string {
	merged := maps.Clone(environment)
	merged["GOMLX_NO_AUTO_INSTALL"] = "1"
	if d.Name == Go {
		merged["GOMLX_BACKEND"] = "go"
		return merged
	}
	merged["GOMLX_BACKEND"] = "xla:" + d.Name
	merged["PJRT_PLUGIN_LIBRARY_PATH"] = links
	merged["XLA_FLAGS"] = d.XLAFlags
	if d.Name == CUDA {
		merged["GOPJRT_CUDA_CHECKS"] = "0" // it warns of libraries that it does not look for where they are
	}
	if paths := append(slices.Clone(d.libraries), filepathList(environment["LD_LIBRARY_PATH"])...); len(paths) > 0 {
		merged["LD_LIBRARY_PATH"] = strings.Join(paths, ":")
	}
	return merged
}

// Link puts into an empty directory the names that GoMLX looks for.
func (d Device) Link(links string) error {
	if d.PJRT == "" {
		return nil
	}
	if err := os.Symlink(d.PJRT, filepath.Join(links, "pjrt_c_api_"+d.Name+"_plugin.so")); err != nil {
		return fmt.Errorf("cannot link the PJRT plugin: %w", err)
	}
	return nil
}
