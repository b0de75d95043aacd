// Package wire is the seam that both sides of mtt.experiment.v1 share: the handshake, the limits, the names, and both
// halves of the chunked blob stream.
package wire

// The handshake. The cookie is no secret: it tells a plugin that it was started by a host and not by a person.
const (
	CookieKey   = "MTT_PLUGIN"
	CookieValue = "mtt.experiment"
	// ProtocolVersion is the major version of the proto package, which go-plugin negotiates.
	ProtocolVersion = 1
	// PluginName is the only plugin kind that there is.
	PluginName = "experiment"
)

// Variables of the plugin's environment.
const (
	// EnvLockFD is the number of an inherited descriptor that holds the run's lock, so that the lock outlives a killed
	// host for as long as the plugin can still do harm. The plugin keeps it open, and from its own children.
	EnvLockFD = "MTT_LOCK_FD"
	// EnvHostPID is the process id of the host. A plugin whose parent is another process leaves.
	EnvHostPID = "MTT_HOST_PID"
)
