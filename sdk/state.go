package sdk

import "io"

// State is what a checkpoint holds: everything that the next training step depends on. Serve calls it from the
// goroutine that called Run.Resume or Run.Save, and for the final checkpoint from Train's, after Train has returned.
type State interface {
	// Save writes the state as named blobs. It must write the same bytes for the same state: no time, no device, no
	// random name, no map order.
	Save(w CheckpointWriter) error
	// Load restores the state. It must fail if a blob is missing or does not fit, and leave alone those of other states
	// that Run.Resume was given.
	Load(r CheckpointReader) error
}

// CheckpointWriter writes the blobs of one checkpoint, one after the other.
type CheckpointWriter interface {
	// Create begins the blob called name, `[a-z0-9][a-z0-9._-]{0,127}`, and ends the one before. The writer streams
	// to the host in pieces, so a blob is never in memory as a whole. It is valid until the next Create.
	Create(name string) (io.Writer, error)
}

// CheckpointReader reads the blobs of one checkpoint, in any order.
type CheckpointReader interface {
	// Step is the number of training steps behind the state.
	Step() int64
	// Blobs lists what the checkpoint holds, sorted by name.
	Blobs() []Blob
	// Open streams a blob. Read returns io.EOF only once the whole content has arrived and its checksum is right;
	// any other error means that what was read must not be used.
	Open(name string) (io.ReadCloser, error)
}

// Blob is a named part of a checkpoint.
type Blob struct {
	Name string
	Size int64 // bytes
}
