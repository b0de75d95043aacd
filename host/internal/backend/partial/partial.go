// Package partial writes a file under another name beside its own until it is whole. The name depends on what is
// written, so that whoever writes the same again goes on with what a killed one left, and a lock keeps two of them from
// writing at once.
package partial

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// prefix begins the names. Listings leave them out.
const prefix = ".mtt-partial-"

// Is says whether a file of that name is one that is not whole.
func Is(name string) bool { return strings.HasPrefix(path.Base(name), prefix) }

// ErrBusy says that another process is writing the file.
var ErrBusy = errors.New("another process is writing it")

// File is open for appending, at its end.
type File struct {
	*os.File
	root      *os.Root
	temporary string
	name      string
	begun     int64
}

// Open opens the unfinished file for name, which is a path below root whose directory is there. version tells what is to
// be written from other contents that the file may get. Begun is what an earlier writer left.
func Open(root *os.Root, name, version string, mode fs.FileMode) (*File, error) {
	temporary := path.Join(path.Dir(name), of(name)+digest(version))
	for {
		file, err := root.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_APPEND, mode.Perm()|0o200)
		if err != nil {
			return nil, err
		}
		if err := Lock(file); err != nil {
			file.Close()
			return nil, &fs.PathError{Op: "write", Path: name, Err: err}
		}
		info, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, err
		}
		// Whoever had the lock before may have finished the file, which then has its own name.
		if now, err := root.Lstat(temporary); err == nil && os.SameFile(info, now) {
			return &File{File: file, root: root, temporary: temporary, name: name, begun: info.Size()}, nil
		}
		file.Close()
	}
}

// Begun is how much of the file there was when it was opened.
func (f *File) Begun() int64 { return f.begun }

// Restart forgets what was written.
func (f *File) Restart() error {
	f.begun = 0
	return f.Truncate(0)
}

// Publish gives the file its name, in the place of what may have it, and closes it. What cannot be had, such as that of
// a directory, is an error, and the file is discarded.
func (f *File) Publish() error {
	if err := f.root.Rename(f.temporary, f.name); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Close()
}

// PublishNew is Publish where nothing has the name: else it is fs.ErrExist, and the file is discarded.
func (f *File) PublishNew() error {
	return errors.Join(f.root.Link(f.temporary, f.name), f.Discard())
}

// Discard removes the file, and closes it.
func (f *File) Discard() error {
	return errors.Join(f.root.Remove(f.temporary), f.Close())
}

// Lock makes the caller the only one who writes to an open file, until it is closed. ErrBusy: somebody else is.
func Lock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrBusy
		case err != nil:
			return fmt.Errorf("lock: %w", err)
		default:
			return nil
		}
	}
}

// Outdated returns those of the names in a directory that are unfinished files for base, of which the whole one is there
// now: nobody will go on with them.
func Outdated(names []string, base string) (outdated []string) {
	for _, name := range names {
		if strings.HasPrefix(name, of(base)) {
			outdated = append(outdated, name)
		}
	}
	return outdated
}

// of is how the names of the unfinished files for one begin: short, whatever the length of the name.
func of(name string) string { return prefix + digest(path.Base(name)) + "-" }

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
