package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// copying is one copy of a tree to another place.
type copying struct {
	from, to string
	durable  bool

	copied map[string]version // what each file of from was when it had the content at to

	mu      sync.Mutex
	changed map[string]bool // directories that have to be synced
}

// sourceError says that a file cannot be read, which is the experiment's doing.
type sourceError struct{ error }

func (s *sourceError) Unwrap() error { return s.error }

func (c *copying) directory(e entry) error {
	target := filepath.Join(c.to, e.path)
	mode := e.mode | 0o700
	there, err := c.makeRoom(e.path, fs.ModeDir)
	if err == nil && !there {
		c.change(target)
		err = os.Mkdir(target, mode)
	}
	if err != nil {
		return err
	}
	info, err := os.Lstat(target)
	if err == nil && info.Mode().Perm() != mode {
		err = os.Chmod(target, mode)
	}
	return err
}

// file copies a file, unless it is what was copied to the target before.
func (c *copying) file(ctx context.Context, e entry) error {
	target := filepath.Join(c.to, e.path)
	there, err := c.makeRoom(e.path, 0)
	if err != nil {
		return err
	}
	began := time.Now()
	info, err := os.Lstat(filepath.Join(c.from, e.path))
	if err == nil && there && c.isCopied(e.path, info, target) {
		return nil
	}
	var source *os.File
	if err == nil {
		source, err = regular.Open(filepath.Join(c.from, e.path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the experiment removed it meanwhile
	}
	if err != nil {
		return &sourceError{err}
	}
	defer source.Close()
	if !c.durable {
		return c.write(ctx, source, info, target)
	}
	temporary := filepath.Join(filepath.Dir(target), unfinished+rand.Text())
	if err = c.write(ctx, source, info, temporary); err == nil {
		err = os.Rename(temporary, target)
	}
	if err != nil {
		return errors.Join(err, removeExisting(temporary))
	}
	c.change(target)
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := versionOf(info); began.Sub(v.changed) >= settled {
		c.copied[e.path] = v
	} else {
		delete(c.copied, e.path) // so that it is copied again
	}
	return nil
}

// isCopied says whether the target has the content, the permissions and the time of a file. Size and time alone would take
// one file for another that has come in its place, or for itself before its time was set back.
func (c *copying) isCopied(path string, info fs.FileInfo, target string) bool {
	c.mu.Lock()
	before, ok := c.copied[path]
	c.mu.Unlock()
	if !ok || before != versionOf(info) {
		return false
	}
	now, err := os.Lstat(target)
	return err == nil && now.Size() == info.Size() && now.ModTime().Equal(info.ModTime())
}

// version tells a file from every other one, and from itself with another content or other permissions.
type version struct {
	device, inode uint64
	changed       time.Time // which nobody can set
}

func removeExisting(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// settled is how old a file has to be for its time to tell it from what is written into it next: file systems take times from
// a clock that ticks a hundred times a second or more.
const settled = 20 * time.Millisecond

// copyBuffer is how much is copied at once: larger pieces are no faster.
const copyBuffer = 256 << 10

// write writes a new file with the content, the permissions and the time of source.
func (c *copying) write(ctx context.Context, source *os.File, info fs.FileInfo, to string) error {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	buffer := make([]byte, min(max(info.Size()+1, 512), copyBuffer)) // no larger than it has to be: there may be many files
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, cancellable{ctx, source}, buffer)
	if err == nil && info.Mode().Perm() != 0o600 {
		err = file.Chmod(info.Mode().Perm())
	}
	if err == nil && c.durable {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cannot copy %s: %w", source.Name(), err)
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func (c *copying) link(l link) error {
	target := filepath.Join(c.to, l.path)
	there, err := c.makeRoom(l.path, fs.ModeSymlink)
	if err != nil {
		return err
	}
	if there {
		if to, err := os.Readlink(target); err == nil && to == l.to {
			return nil
		}
		if err := os.Remove(target); err != nil {
			return err
		}
	}
	c.change(target)
	return os.Symlink(l.to, target)
}

// makeRoom says whether something of this type is at a path of the target, and removes what is of another. A link that
// leads out of the tree is none of ours, and neither followed nor removed.
func (c *copying) makeRoom(path string, want fs.FileMode) (there bool, err error) {
	target := filepath.Join(c.to, path)
	info, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		if to, err := os.Readlink(target); err != nil || !staysInside(path, to) {
			return false, errors.Join(err, linkError(target))
		}
	}
	if info.Mode().Type() == want {
		return true, nil
	}
	return false, os.RemoveAll(target)
}

func (c *copying) change(target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed[filepath.Dir(target)] = true
}

func syncAll(directories map[string]bool) (err error) {
	for _, dir := range slices.Sorted(maps.Keys(directories)) {
		err = errors.Join(err, syncDirectory(dir))
	}
	return err
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed behind the change
	}
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// unfinished begins the names of files that are being copied.
const unfinished = ".mtt-partial-"

func isUnfinished(path string) bool { return strings.HasPrefix(filepath.Base(path), unfinished) }

// cancellable ends a copy when its context does.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}
