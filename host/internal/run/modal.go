package run

import "time"

// Modal is where and on what a run is lived on Modal.
type Modal struct {
	Environment string `json:"environment,omitempty"` // as it was found when the run was made; "": the account's own
	Volume      string `json:"volume"`                // that the run is on
	// VolumeID is that volume's: another one of the same name, which has none of the run's checkpoints, will not do.
	VolumeID  string   `json:"volume_id"`
	GPU       []string `json:"gpu,omitempty"`        // such as H100 or A100-80GB:2; the first that is to be had
	CPU       float64  `json:"cpu,omitempty"`        // cores; 0: Modal's default
	MemoryMiB int      `json:"memory_mib,omitempty"` // 0: Modal's default
	Image     string   `json:"image"`                // reference of the image that the others are built on
	Apt       []string `json:"apt,omitempty"`        // Debian packages that are added to it
	Layers    []string `json:"layers,omitempty"`     // Dockerfile commands, each a layer: what comes of Apt and GPU
	Secrets   []Secret `json:"secrets,omitempty"`
	// MaxCost, in US dollars, is what the run may cost, all in all; 0: any. It is held by Rate.
	MaxCost float64 `json:"max_cost_usd,omitempty"`
	Rate    Rate    `json:"rate,omitzero"`
	// HostSHA256 is the mtt-host, for linux/amd64, that executes the run: the one that began it, as long as that can be had.
	HostSHA256 string `json:"host_sha256"`
	// AttemptLimit is after how long an attempt saves and makes room for the next one, and SupervisorLimit after how
	// long a supervisor hands over: less than Modal's own limit for a Sandbox.
	AttemptLimit    Duration `json:"attempt_limit"`
	SupervisorLimit Duration `json:"supervisor_limit"`
}

// Rate bounds what a run costs, in US dollars per second, by the prices that its maker had.
type Rate struct {
	Attempt    float64 `json:"attempt"`    // while one has a machine
	Supervisor float64 `json:"supervisor"` // while there is one
}

// Secret is one of Modal's, of which the plugin gets some of the keys.
type Secret struct {
	Name string   `json:"name"`
	Keys []string `json:"keys"`
}

// Limits of Modal's: a Sandbox executes for a day at most. It is not known whether that counts from when it was asked for or
// from when it has a machine, so what it may have waited in the queue is a margin of what comes before: a last checkpoint, or
// a successor, which may have to wait for a machine itself. It costs one more hand-over in a month.
const (
	SandboxLimit     = 24 * time.Hour
	AttemptMargin    = time.Hour
	SupervisorMargin = 2 * time.Hour
	attemptLimit     = SandboxLimit - AttemptMargin
	supervisorLimit  = SandboxLimit - SupervisorMargin
)

// DefaultModal is on no GPU.
func DefaultModal() Modal {
	return Modal{Volume: "outputs", Image: "python:3.13-slim-trixie", AttemptLimit: Duration(attemptLimit), SupervisorLimit: Duration(supervisorLimit)}
}
