package dirstore

import (
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// FS is all that a Store does to a file system. It is a seam for tests: a fault is a type that embeds OS and
// overrides one method.
type FS interface {
	Mkdir(name string) error
	// Create makes a new file and opens it for writing; one that exists is an error.
	Create(name string) (File, error)
	Open(name string) (io.ReadCloser, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Free is the number of bytes that may still be written under a directory.
	Free(name string) (uint64, error)
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	// Sync makes the content durable.
	Sync() error
}

// OS is the real file system.
type OS struct{}

func (OS) Mkdir(name string) error                    { return os.Mkdir(name, 0o755) }
func (OS) Open(name string) (io.ReadCloser, error)    { return regular.Open(name) }
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (OS) Rename(from, to string) error               { return os.Rename(from, to) }
func (OS) Remove(name string) error                   { return os.Remove(name) }
func (OS) RemoveAll(name string) error                { return os.RemoveAll(name) }

func (OS) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return err
	}
	return d.Close()
}

// Mount is the real file system where a directory is the mount of a volume elsewhere: how much that holds the mount does not
// know, and statfs has placeholders.
type Mount struct{ OS }

func (Mount) Free(string) (uint64, error) { return math.MaxUint64, nil }

func (OS) Free(name string) (uint64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(name, &stat); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	if stat.Blocks == 0 { // Some network file systems do not say.
		return math.MaxUint64, nil
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
