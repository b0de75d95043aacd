package gomlx

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// opener opens the GoMLX backend of one device.
type opener struct {
	device string
	open   func() (compute.Backend, error)
}

// openers are those of this build, the best first. XLA's come with cgo: see xla.go.
var openers = append(xlaOpeners, opener{"go", func() (compute.Backend, error) { return gobackend.New("") }})

// Devices lists what this build can train on, for sdk.Experiment.Devices: "go", and with cgo "cuda" and "cpu" too.
func Devices() (devices []string) {
	for _, o := range openers {
		devices = append(devices, o.device)
	}
	return devices
}

// Backend returns the GoMLX backend of a device, as run.Device names it; "auto" is the best that opens. A device that
// is named never falls back to another one, and nothing is ever downloaded.
func Backend(device string) (compute.Backend, error) {
	if len(openers) == 1 {
		fmt.Fprintln(os.Stderr, "mtt: XLA is not in this build, since it was built without cgo: it trains in pure Go only")
	}
	var failures []error
	for _, o := range openers {
		if device != o.device && device != "auto" {
			continue
		}
		backend, err := o.open()
		if err == nil {
			return backend, nil
		}
		failures = append(failures, fmt.Errorf("device %q: %w", o.device, err))
	}
	if len(failures) == 0 {
		return nil, fmt.Errorf("device %q is not in this build, which has %s (XLA needs CGO_ENABLED=1)", device, strings.Join(Devices(), ", "))
	}
	return nil, errors.Join(failures...)
}
