// Package scratch owns the temporary directories of mtt-host: one for each process that needs one, with its sockets
// and its plugin's output and temporary files. Each is locked by its owner for as long as that lives, so that any later
// command can tell what a killed one left behind, and remove it.
package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
)

// maxTemporary is the longest TMPDIR under which a socket's path still fits into sockaddr_un, which holds 108 bytes on
// Linux and 104 elsewhere: go-plugin appends about 40 of its own, and we about 15.
const maxTemporary = 45

// Dir is a private directory, mode 0700, that goes with its owner.
type Dir struct {
	Path  string
	lock  *os.File
	short *Dir // below /tmp, for sockets, if Path is too long for them; nil before there are any
}

// New makes a directory for the calling process, below TMPDIR.
func New() (*Dir, error) {
	tmp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, unusable(err)
	}
	return private(base(tmp))
}

// private makes a directory below one of this user alone, which it makes where that is missing.
func private(path string) (*Dir, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, unusable(err)
	}
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	dir, err := newIn(path)
	if err != nil {
		return nil, unusable(err)
	}
	return dir, nil
}

// Sockets makes a directory for sockets, once. It is inside, unless TMPDIR is too long for the path of a socket.
func (d *Dir) Sockets() (path string, err error) {
	if len(filepath.Dir(filepath.Dir(d.Path))) <= maxTemporary {
		return d.Sub("s")
	}
	if d.short, err = private(base(shortBase)); err != nil {
		return "", exit.Errorf(exit.Usage, "TMPDIR is too long for the path of a socket, and so is not used for sockets: %w", err).
			Hint("Set TMPDIR to a directory whose path has at most %d bytes.", maxTemporary)
	}
	return d.short.Path, nil
}

// shortBase is where sockets are if TMPDIR is too long.
const shortBase = "/tmp"

func unusable(err error) error {
	if limited := limit.Explain(err); limited != nil {
		return limited
	}
	return exit.Errorf(exit.Usage, "cannot make a temporary directory: %w", err).
		Hint("Make room in it, or set TMPDIR to another directory that can be written.")
}

// Below makes one in the directory base, which holds nothing else, for files that are to be renamed to a place on the
// same file system.
func Below(base string) (*Dir, error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	return newIn(base)
}

// newIn makes a directory in base, whose lock keeps a sweep away until the new directory has its own.
func newIn(base string) (*Dir, error) {
	locked, err := lockDir(base, 0)
	if err != nil {
		return nil, err
	}
	defer locked.Close()
	path, err := os.MkdirTemp(base, "")
	if err != nil {
		return nil, err
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
		return "", unusable(err)
	}
	return path, nil
}

// Close removes the directory and all that is in it.
func (d *Dir) Close() error {
	err := removeAll(d.Path)
	if d.short != nil {
		err = errors.Join(err, d.short.Close())
	}
	return errors.Join(err, d.lock.Close())
}

// HandDown makes the directory that of the program which this process becomes.
func (d *Dir) HandDown() error {
	_, err := unix.FcntlInt(d.lock.Fd(), unix.F_SETFD, 0)
	return err
}

// Sweep removes what killed processes of this user left behind, there and in the directories that Below was given. What
// cannot be removed stays, without keeping the rest.
func Sweep(below ...string) (err error) {
	for _, tmp := range []string{os.TempDir(), shortBase} {
		path, absErr := filepath.Abs(base(tmp))
		if absErr == nil && !slices.Contains(below, path) && checkPrivate(path) == nil {
			below = append(below, path)
		}
	}
	for _, base := range below {
		err = errors.Join(err, sweep(base))
	}
	return err
}

func sweep(base string) (err error) {
	abandoned, err := abandonedIn(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("cannot sweep temporary directories: %w", err)
	}
	err = nil
	for path, lock := range abandoned {
		if removeErr := removeAll(path); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("cannot remove what an earlier process left behind: %w", removeErr))
		}
		lock.Close()
	}
	return err
}

// abandonedIn locks the directories in base whose owners are dead. base itself is locked for no longer than that, so that
// nobody waits for a removal.
func abandonedIn(base string) (map[string]*os.File, error) {
	locked, err := lockDir(base, 0)
	if err != nil {
		return nil, err
	}
	defer locked.Close()
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, err
	}
	abandoned := map[string]*os.File{}
	for _, entry := range entries {
		path := filepath.Join(base, entry.Name())
		if lock, err := lockDir(path, unix.LOCK_NB); err == nil { // else its owner lives, or it has gone meanwhile
			abandoned[path] = lock
		}
	}
	return abandoned, nil
}

// removeAll is os.RemoveAll for a tree whose directories may have lost their permissions: an experiment may do that.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// base is the directory below tmp that holds this user's scratch directories.
func base(tmp string) string { return filepath.Join(tmp, "mtt-"+strconv.Itoa(os.Getuid())) }

// checkPrivate refuses a directory that is not this user's alone: its name can be guessed, so another user could have
// made it first, to read sockets or to plant links.
func checkPrivate(path string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR || int(stat.Uid) != os.Getuid() || stat.Mode&0o777 != 0o700 {
		return exit.Errorf(exit.Usage, "%s is not a directory of this user alone (mode 0700)", path).
			Hint("Remove it, or set TMPDIR to another directory.")
	}
	return nil
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
