// Package checkpoint says what a checkpoint is and when one may be loaded or removed.
//
// A checkpoint is a directory with one file per blob and a manifest, which is written last: a directory without a
// manifest is no checkpoint. The manifest is the only truth about it. Store is the contract of what keeps
// checkpoints, package dirstore implements it on a directory, and package storetest holds every implementation to it.
// What this package decides by itself, whatever the store: which checkpoints belong to a run's history (Lineage),
// whose they are (Guard), which one to load (Select) and which may go (Prune).
package checkpoint

import (
	"context"
	"io"
)

// Store keeps the checkpoints of one run.
//
// Its methods may be called from several goroutines, and with a cancelled context they fail without effect. Which
// process may write is decided outside, by the lock on the run: a Store does not defend itself against a second
// writer, and reading needs no lock.
//
// An id that names no checkpoint is a *NotFoundError. A checkpoint that is not what was saved is a *CorruptError, and
// one of a newer mtt-host a *VersionError. Any other error says that the storage failed and nothing about the
// checkpoint.
type Store interface {
	// Create begins a checkpoint; nothing of it is listed until Commit. The id is new, and later than every id that
	// the store holds, whatever the clock says. If there is less free space than Header.SizeHint, the error is
	// syscall.ENOSPC. The caller ends every Writer by Commit or Abort.
	Create(context.Context, Header) (Writer, error)

	// List returns the ids of all checkpoints, newest first, by their names alone: nothing in them is opened, so it costs
	// the same whatever they hold. One that is being written, or was half removed, is among them: see Entries.
	List(context.Context) ([]string, error)

	// Manifest reads the manifest of a checkpoint. Blobs are not looked at.
	Manifest(ctx context.Context, id string) (*Manifest, error)

	// Verify reads the whole checkpoint back: the manifest with its checksum, each blob's size and hash, and that
	// there is no other file.
	Verify(ctx context.Context, id string) (*Manifest, error)

	// Open reads one blob. The content is hashed on the way, and io.EOF comes only after the hash was found right:
	// until then, what was read must not be used. A blob that the manifest does not name is a *NotFoundError.
	Open(ctx context.Context, id, blob string) (io.ReadCloser, error)

	// Remove removes a checkpoint, its manifest first, so that one half removed is rubbish and not corrupt. Removing
	// one that is gone, or half gone, is no error.
	Remove(ctx context.Context, id string) error

	// Collect removes what saves and removals that were cut short left behind, and returns the ids. Only the holder of
	// the run's lock calls it, and only while it has no Writer.
	Collect(context.Context) (removed []string, err error)
}

// Writer writes one checkpoint. It is used by one goroutine at a time.
//
// The first error is final, and every later call except Abort returns it: after a failed fsync nobody knows what is on
// the disk, so nothing is ever tried again. Every earlier checkpoint stays as it was, whatever happens. A full disk
// can be told from other errors by syscall.ENOSPC, EDQUOT and EFBIG.
type Writer interface {
	// ID is the id that the checkpoint has once it is committed.
	ID() string

	// Blob begins a blob: one at a time, and no name twice. Names are checked by CheckBlobName. The blob is part of
	// the checkpoint when its Close has returned nil, and is then on the disk.
	Blob(name string) (io.WriteCloser, error)

	// Commit makes the checkpoint durable and visible. When it returns nil the checkpoint is acknowledged: it survives
	// a crash of the process, the system and, after the volume's own synchronisation, the machine. When it returns an
	// error there is either no checkpoint, or a whole one that may be resumed from but was not acknowledged.
	//
	// The event file that History names must be durable before.
	Commit(context.Context, History) (*Manifest, error)

	// Abort removes what was written. It may be called more than once, and does nothing after Commit has made the
	// checkpoint visible, so that it can be deferred.
	Abort() error
}
