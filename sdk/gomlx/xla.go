//go:build cgo && !noxla

package gomlx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/gomlx/support/exceptions"
)

var xlaOpeners = []opener{
	{"cuda", func() (compute.Backend, error) { return openXLA("cuda") }},
	{"cpu", func() (compute.Backend, error) { return openXLA("cpu") }},
}

func init() { xla.EnableAutoInstall(false) } // it would download from the network behind the user's back

// openXLA opens XLA with the PJRT plugin of a device, which the host has linked into PJRT_PLUGIN_LIBRARY_PATH.
func openXLA(device string) (backend compute.Backend, err error) {
	failure := exceptions.TryCatch[error](func() { // a library that does not load panics
		if available := xla.GetAvailablePlugins(); !slices.Contains(available, device) {
			err = fmt.Errorf("there is no PJRT plugin for it in PJRT_PLUGIN_LIBRARY_PATH, only %q", available)
			return
		}
		backend, err = xla.New(device)
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		if strings.Contains(err.Error(), "no supported devices found") { // what PJRT says of a GPU without free memory too
			err = fmt.Errorf("it finds no GPU that it can use: see with nvidia-smi whether another process has its memory, and whether the driver is new enough: %w", err)
		}
		return nil, fmt.Errorf("XLA does not open: %w", err)
	}
	return backend, nil
}
