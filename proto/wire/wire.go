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

// Limits of the wire.
const (
	// ChunkSize is the content of one blob frame. At a quarter of it the cost of a message shows (0.87 of the speed
	// was measured, 0.57 at 64 KiB); more of it would only be held in memory on both sides, and must stay below
	// MaxMessageBytes with the frame around it.
	ChunkSize = 1 << 20
	// MaxMessageBytes is what a receiver takes: a chunk with room for the frame around it, and gRPC's own default, so
	// that a peer that sets nothing agrees.
	MaxMessageBytes = 4 << 20
	// MaxBlobs bounds the files of one checkpoint, each of which costs an fsync, and with them a manifest's size. A
	// model of more tensors puts many into one blob.
	MaxBlobs = 1024
	// MaxTagBytes keeps a tag readable, and MaxBatchPoints points, of about 32 bytes besides the tag, at half of
	// MaxMessageBytes.
	MaxTagBytes = 512
	// MaxTags bounds what the host remembers of an attempt: the latest value of each tag.
	MaxTags = 10_000
	// MaxBatchPoints bounds one LogMetrics message. With 100 points a message the cost of a call no longer shows, so
	// this is for a sender that has fallen behind. It may grow only as MaxTagBytes allows.
	MaxBatchPoints = 4096
	// MaxSeed is the first seed that is refused: a float64, which is all that many JSON readers have, is exact below.
	MaxSeed = 1 << 53
)
