package checkpoint

import "fmt"

// CorruptError says that a checkpoint is not what was saved.
type CorruptError struct {
	ID string
	// File in the checkpoint's directory.
	File  string
	Cause error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("checkpoint %s is corrupt: %s: %v", e.ID, e.File, e.Cause)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// NotFoundError says that there is no such checkpoint or, if Blob is set, no such blob in it.
type NotFoundError struct{ ID, Blob string }

func (e *NotFoundError) Error() string {
	if e.Blob != "" {
		return fmt.Sprintf("checkpoint %s has no blob %q", e.ID, e.Blob)
	}
	return fmt.Sprintf("there is no checkpoint %q", e.ID)
}

// VersionError says that a manifest is of a newer version than this code can read. It is not corrupt, so nothing falls
// back to an older checkpoint because of it.
type VersionError struct{ Have int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the manifest has version %d and this mtt-host reads up to %d: use the mtt-host that wrote it, or a newer one",
		e.Have, Version)
}

// SizeError says that a manifest is larger than MaxManifestSize: there are too many tags, results or blobs with too long
// names. No storage is at fault.
type SizeError struct{}

func (*SizeError) Error() string {
	return fmt.Sprintf("the manifest is larger than %d bytes: the names of metrics, results and blobs are too many or too long", MaxManifestSize)
}
