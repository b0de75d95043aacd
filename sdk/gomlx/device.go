package gomlx

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// Backend returns the GoMLX backend of a device, as run.Device names it: "go", or "auto" for the best that there is,
// which in this build is the pure-Go backend. Nothing is ever downloaded.
func Backend(device string) (compute.Backend, error) {
	switch device {
	case "go", "auto":
		return gobackend.New("")
	default:
		return nil, fmt.Errorf("device %q is not in this build, which has the pure-Go backend \"go\"", device)
	}
}
