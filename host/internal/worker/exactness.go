package worker

import (
	"runtime"

	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/run"
)

// exactness is the key of an attempt that trains on a device here with this plugin.
func exactness(plugin string, d device.Device) run.Exactness {
	return run.Exactness{
		PluginSHA256: plugin, Device: d.Name, DeviceModel: d.Model, GOARCH: runtime.GOARCH,
		PJRTSHA256: d.PJRTSHA256, XLAFlags: d.XLAFlags,
	}
}
