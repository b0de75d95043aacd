package worker

import (
	"bufio"
	"os"
	"runtime"
	"strings"

	"github.com/mtt-project/mtt/host/internal/run"
)

// exactness is the key of an attempt that trains on device here with this plugin.
func exactness(plugin, device string) run.Exactness {
	return run.Exactness{PluginSHA256: plugin, Device: device, DeviceModel: cpuModel(), GOARCH: runtime.GOARCH}
}

// cpuModel names the processor, whose instruction set decides how sums are rounded; empty where the system does not
// say.
func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
