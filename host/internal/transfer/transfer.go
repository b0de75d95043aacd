// Package transfer copies files between a volume and this machine. What was copied is not copied again: a repetition
// continues, and one that has nothing to do moves nothing.
package transfer

import (
	"sync/atomic"

	"github.com/mtt-project/mtt/host/internal/backend"
)

// parallel is how many files move at once. Small ones cost a round trip or two each; how much of large ones is in memory
// is the volume's concern.
const parallel = 32

// tries is how often a file that changes while it is read is begun anew. A log that is being rotated is there again the
// next time; what changes each time is in motion.
const tries = 4

// Transfer is one copying. Its figures may be read while it goes on.
type Transfer struct {
	Volume backend.Volume
	// Skip, if it is not nil, is told of what cannot be copied, such as a symbolic link, and why.
	Skip func(path, reason string)

	files     atomic.Int64
	bytes     atomic.Int64
	unchanged atomic.Int64
}

// Moved is what was moved until now, and how many files needed nothing.
func (t *Transfer) Moved() (files, bytes, unchanged int64) {
	return t.files.Load(), t.bytes.Load(), t.unchanged.Load()
}

func (t *Transfer) moved(bytes int64) { t.bytes.Add(bytes) }

func (t *Transfer) skip(path, reason string) {
	if t.Skip != nil {
		t.Skip(path, reason)
	}
}

// Why something is skipped.
const (
	irregular  = "which is no regular file"
	unnameable = "of which the volume does not tell the name: it is not UTF-8"
	fileless   = "a directory without a file, which the volume cannot have"
)
