// Package exactness says under which conditions a resumed run is bit for bit the run that was left alone: the key of an
// attempt has everything outside configuration, seed and state that can change a bit, and two keys are compared part by
// part. It reads no file and asks no machine.
package exactness

// Version is that of the keys that this mtt-host records. It grows with each part that is added to them, so that a part
// that an older host did not look at is told from one that was not there.
const Version = 2

// Key is what an attempt trains on, as its start.json has it.
type Key struct {
	// Version of the host's keys; 0 for a host that recorded nothing but the next five, which stands for 1.
	Version      int    `json:"version,omitempty"`
	PluginSHA256 string `json:"plugin_sha256"`
	Device       string `json:"device"`
	DeviceModel  string `json:"device_model"` // of the processor or the GPUs
	GOARCH       string `json:"goarch"`
	PJRTSHA256   string `json:"pjrt_sha256,omitempty"` // of XLA's plugin

	// Since version 2.

	Devices   int    `json:"devices,omitempty"`    // number of GPUs that the plugin sees
	Driver    string `json:"gpu_driver,omitempty"` // its version
	CPU       CPU    `json:"cpu,omitzero"`
	Threads   int    `json:"xla_threads,omitempty"`      // of XLA on the CPU
	Libraries string `json:"libraries_sha256,omitempty"` // over those in LD_LIBRARY_PATH
	// Variables are those of Variables.
	Variables map[string]string `json:"variables,omitempty"`
	// Data is what was mounted, by name.
	Data map[string]Data `json:"data,omitempty"`
	// CurvesLost says what is damaged of the curves that the attempt goes on with; "" for whole ones.
	CurvesLost string `json:"curves_lost,omitempty"`
}

// CPU is a processor, as far as it can change how numbers are rounded. Fields are empty where the system does not say, and
// all but Features where only those count.
type CPU struct {
	Vendor   string `json:"vendor,omitempty"`
	Family   string `json:"family,omitempty"`
	Model    string `json:"model,omitempty"`
	Stepping string `json:"stepping,omitempty"`
	// Features are the instruction sets, sorted, with a space between them.
	Features string `json:"features,omitempty"`
}

// Data is a directory with data for the experiment.
type Data struct {
	Source string `json:"source"` // absolute path, or name of the volume
	// Files is the sha256 over path, size and time of each file; Contents that over path, size and sha256 of each, ""
	// where nobody asked for it.
	Files    string `json:"files_sha256"`
	Contents string `json:"contents_sha256,omitempty"`
}

// OnMachineOf is the key that the attempt would have on the machine of another one.
func (k Key) OnMachineOf(other Key) Key {
	k.DeviceModel, k.Devices, k.Driver, k.CPU = other.DeviceModel, other.Devices, other.Driver, other.CPU
	return k
}

func (k Key) version() int { return max(k.Version, 1) }
