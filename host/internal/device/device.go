// Package device finds what an attempt can train on, and prepares the environment in which a plugin trains on it. It
// looks at files and at the driver; it loads no accelerator library into the host, and nothing is ever downloaded.
package device

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

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
	Name   string `json:"device"` // Go, CPU or CUDA
	Model  string `json:"model"`  // of the processor or the GPU
	Driver string `json:"driver,omitempty"`
	// PJRT is the XLA plugin, of CPU and CUDA.
	PJRT       string `json:"pjrt,omitempty"`
	PJRTSHA256 string `json:"pjrt_sha256,omitempty"`
	XLAFlags   string `json:"xla_flags,omitempty"`

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
const deterministic = "--xla_gpu_deterministic_ops=true"

// Choose returns the device that want names, for a plugin that was built for built; empty means that it does not say,
// and then only pure Go is certain. Notes say in words what Auto had to do without. A named device that is not there
// is an error: it never falls back. exact asks for what a bit-exact resume needs.
func Choose(want string, built []string, exact bool) (device Device, notes []string, err error) {
	if want == Auto {
		want = fromBackend(os.Getenv("GOMLX_BACKEND"))
	}
	if err := CheckBuilt(want, built); err != nil {
		return Device{}, nil, err
	}
	if len(built) == 0 {
		built = []string{Go}
	}
	if want != Auto {
		device, err = open(want, exact)
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
		device, err = open(name, exact)
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
func open(name string, exact bool) (Device, error) {
	switch name {
	case Go:
		return Device{Name: Go, Model: cpuModel()}, nil
	case CPU:
		return withPJRT(Device{Name: CPU, Model: cpuModel(), XLAFlags: os.Getenv("XLA_FLAGS")})
	case CUDA:
		gpu, err := findGPU()
		if err != nil {
			return Device{}, err
		}
		device := Device{Name: CUDA, Model: gpu.model, Driver: gpu.driver, XLAFlags: os.Getenv("XLA_FLAGS")}
		if exact && !strings.Contains(device.XLAFlags, deterministic) {
			device.XLAFlags = strings.TrimSpace(device.XLAFlags + " " + deterministic)
		}
		return withPJRT(device)
	default:
		return Device{}, exit.Errorf(exit.Usage, "no device is called %q: want one of %s", name, strings.Join(Names, ", "))
	}
}

// Deterministic says whether training on the device repeats bit for bit, as far as was measured.
func (d Device) Deterministic() bool {
	return d.Name != CUDA || strings.Contains(d.XLAFlags, deterministic)
}

// Environment is what the plugin's process needs to train on the device. links is an empty directory of the attempt's,
// for the names that GoMLX looks for.
func (d Device) Environment(links string) (map[string]string, error) {
	if d.Name == Go {
		return map[string]string{"GOMLX_BACKEND": "go", "GOMLX_NO_AUTO_INSTALL": "1"}, nil
	}
	if err := os.Symlink(d.PJRT, links+"/pjrt_c_api_"+d.Name+"_plugin.so"); err != nil {
		return nil, fmt.Errorf("cannot link the PJRT plugin: %w", err)
	}
	environment := map[string]string{
		"GOMLX_BACKEND":            "xla:" + d.Name,
		"GOMLX_NO_AUTO_INSTALL":    "1",
		"PJRT_PLUGIN_LIBRARY_PATH": links,
		"XLA_FLAGS":                d.XLAFlags,
	}
	if d.Name == CUDA {
		environment["GOPJRT_CUDA_CHECKS"] = "0" // it warns of libraries that it does not look for where they are
	}
	if paths := append(slices.Clone(d.libraries), filepathList(os.Getenv("LD_LIBRARY_PATH"))...); len(paths) > 0 {
		environment["LD_LIBRARY_PATH"] = strings.Join(paths, ":")
	}
	return environment, nil
}
