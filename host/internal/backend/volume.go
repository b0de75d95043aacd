// Package backend is where runs and their volumes live. Its interfaces are contracts: package backendtest checks every
// implementation against the same cases.
package backend

import (
	"context"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Volume is a named tree of files that outlives whoever wrote it.
//
// Paths are relative to its root and separated by slashes; a leading slash and a trailing one mean nothing, and "" is
// the root. A path with an element ".." is refused with fs.ErrInvalid before anything is done: Clean is the rule.
//
// All methods may be called from several goroutines. They try again by themselves where a failure may pass, so an error
// is final for now: the same call later may succeed. A context that ends makes them return its cause soon, and what was
// done until then stays done. Errors about a path are an *fs.PathError around fs.ErrNotExist, fs.ErrExist,
// fs.ErrInvalid, or one of this package; others have an exit code of their own.
type Volume interface {
	// List returns the entries of a directory by path, parents before what is in them; with recursive, all that are
	// below. Of a file, it returns that one. What is written meanwhile may be in it or not.
	List(ctx context.Context, path string, recursive bool) ([]Entry, error)

	// Stat returns one entry. Of a directory, only the type is certain to be known.
	Stat(ctx context.Context, path string) (Entry, error)

	// Read writes length bytes of a file from offset from on, in order, and not beyond the entry's size. The entry is
	// one of List or Stat, and says which file is meant: one that has grown since is read as far as the entry goes,
	// and one that was replaced, or cut, is ErrChanged, unless it was replaced while it had the same size and within
	// the resolution of its time. What was written to to before an error is not taken back.
	//
	// With entry.Whole, all of the file is read as it is now, whatever the entry's size, from and length are: what comes is
	// one version of the file. One that is replaced meanwhile may be ErrChanged.
	Read(ctx context.Context, entry Entry, from, length int64, to io.Writer) error

	// Compare says whether the first length bytes of a file are those that content has, and moves none of them: where the
	// volume is elsewhere, digests travel. The entry is as for Read. errors.ErrUnsupported: this cannot be told so.
	Compare(ctx context.Context, entry Entry, length int64, content io.ReaderAt) (bool, error)

	// Put makes or replaces files, and their parents. It returns when each is durable: it survives whatever happens to
	// this process and to this machine. Each file appears whole or not at all, but not all files at once; after an
	// error, some may be there. Nothing else becomes visible, and a repetition moves only what the volume does not have
	// yet, as far as it can tell. Two files with one path, or a file whose parent is a file, are fs.ErrExist. Only a
	// regular file is ever replaced: a link or a device that has the path is ErrNotFile. A path that the volume cannot
	// have is ErrName, before anything is put.
	Put(ctx context.Context, files []Source, options PutOptions) error

	// Remove removes a file, or, with recursive, a directory and what is in it. Without, a directory is ErrIsDirectory.
	// What is not there is fs.ErrNotExist, but not if it was this call that removed it. The root is fs.ErrInvalid.
	Remove(ctx context.Context, path string, recursive bool) error

	// Close releases connections. Calls that run meanwhile fail.
	Close() error
}

// Type is what an entry is.
type Type string

const (
	File      Type = "file"
	Directory Type = "directory"
	Symlink   Type = "symlink" // listed, but neither followed nor read
	Other     Type = "other"   // a socket or the like
)

// Entry is a file or directory of a volume.
type Entry struct {
	Path     string // clean
	Type     Type
	Size     int64     // in bytes, of a file
	Modified time.Time // as exact as the backend has it, which may be a second
	// Mode are the permission bits of a file or a directory; nil where the volume does not tell them.
	Mode *fs.FileMode
	// Whole, which a caller of Read sets, says that the file is never appended to but replaced whole, such as a record: the
	// beginning of a version that is longer than the entry says would be no version of it at all.
	Whole bool
}

// Source is a file to put.
type Source struct {
	Path string // in the volume
	Size int64
	Mode fs.FileMode // permission bits
	// Open opens the content. It is called several times if the content has to be read several times, and content
	// that differs from one time to the next is ErrChanged.
	Open func() (Content, error)
}

// DirectoryMaker is a Volume that can make directories. Others have those in which a file was put.
type DirectoryMaker interface {
	// MakeDirectory makes a directory, with these permission bits, and its parents, durably. One that exists stays as it
	// is. A path at which, or on the way to which, something else is, is fs.ErrExist.
	MakeDirectory(ctx context.Context, path string, mode fs.FileMode) error
}

// Content is what a file has.
type Content interface {
	io.ReaderAt
	io.Closer
}

// PutOptions are how files are put. The zero value replaces what is there.
type PutOptions struct {
	// Exclusive refuses, with fs.ErrExist, to replace a file, unless it has the very content that is put: so a call whose
	// answer was lost can be repeated, and whoever wants to be told from others puts something that is his alone.
	Exclusive bool
	// Moved, if it is not nil, is told how many bytes were moved, as they are, from any goroutine.
	Moved func(bytes int64)
}

// Clean returns the path as entries have it. fs.ErrInvalid: it leaves the volume.
func Clean(name string) (string, error) {
	if strings.ContainsRune(name, 0) || slices.Contains(strings.Split(name, "/"), "..") {
		return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}
