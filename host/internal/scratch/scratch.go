// Package scratch owns the temporary directories of mtt-host: one for each process that needs one, with its sockets
// and its plugin's output and temporary files. Each is locked by its owner for as long as that lives, so that any later
// command can tell what a killed one left behind, and remove it.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxBase is the longest directory under which a socket's path still fits into sockaddr_un, which holds 108 bytes on
// Linux and 104 elsewhere: go-plugin appends about 40 of its own, and we about 15.
const maxBase = 45

// Dir is a private directory, mode 0700, that goes with its owner.
type Dir struct {
	Path string
	lock *os.File
}

// New makes a directory for the calling process.
func New() (*Dir, error) {
	base, err := open()
	if err != nil {
		return nil, err
	}
	defer base.Close()
	return newBelow(base)
}

// Below makes one in the directory base, which holds nothing else, for files that are to be renamed to a place on the
// same file system. What killed processes left there is removed before.
func Below(base string) (*Dir, error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a temporary directory: %w", err)
	}
	locked, err := lockDir(base, 0)
	if err != nil {
		return nil, err
	}
	defer locked.Close()
	if err := sweep(locked); err != nil {
		return nil, err
	}
	return newBelow(locked)
}

// newBelow makes a directory in base, whose lock keeps a sweep away until the new directory has its own.
func newBelow(base *os.File) (*Dir, error) {
	path, err := os.MkdirTemp(base.Name(), "")
	if err != nil {
		return nil, fmt.Errorf("cannot make a temporary directory: %w", err)
	}
	lock, err := lockDir(path, unix.LOCK_NB)
	if err != nil {
		return nil, err
	}
	return &Dir{Path: path, lock: lock}, nil
}

// Sub makes a directory inside and returns its path.
func (d *Dir) Sub(name string) (string, error) {
	path := filepath.Join(d.Path, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("cannot make a temporary directory: %w", err)
	}
	return path, nil
}

// Close removes the directory and all that is in it.
func (d *Dir) Close() error {
	err := os.RemoveAll(d.Path)
	return errors.Join(err, d.lock.Close())
}

// Sweep removes what killed processes of this user left behind.
func Sweep() error {
	base, err := open()
	if err != nil {
		return err
	}
	defer base.Close()
	return sweep(base)
}

func sweep(base *os.File) error {
	entries, err := os.ReadDir(base.Name())
	if err != nil {
		return fmt.Errorf("cannot sweep temporary directories: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(base.Name(), entry.Name())
		lock, err := lockDir(path, unix.LOCK_NB)
		if err != nil {
			continue // its owner lives, or it has gone meanwhile
		}
		err = os.RemoveAll(path)
		lock.Close()
		if err != nil {
			return fmt.Errorf("cannot remove what an earlier process left behind: %w", err)
		}
	}
	return nil
}

// open returns the locked directory that holds this user's scratch directories.
func open() (*os.File, error) {
	tmp := os.TempDir()
	if len(tmp) > maxBase {
		tmp = "/tmp"
	}
	path := filepath.Join(tmp, "mtt-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cannot make a temporary directory: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot make a temporary directory: %w", err)
	}
	// The name can be guessed, so another user could have made it first, to read sockets or to plant links.
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm() != 0o700 {
		return nil, fmt.Errorf("%s is not a directory of this user alone (mode 0700): remove it, or set TMPDIR to another directory", path)
	}
	return lockDir(path, 0)
}

func lockDir(path string, flags int) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|flags)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, unix.EINTR) {
			dir.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
	}
}
