// Package volume is the state of a volume: a tree of files whose bytes are in a content store, and the ways into it and
// out of it.
package volume

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
)

// BlockSize is the unit in which Modal's clients hash and transfer the files of a volume. It is part of the protocol:
// BLOCK_SIZE in the Python client's _utils/blob_utils.py.
const BlockSize = 8 << 20

var (
	ErrNotFound = errors.New("no such file or directory")
	ErrExists   = errors.New("the file exists")
	ErrInvalid  = errors.New("invalid path")
)

// Type is what an entry is.
type Type string

const (
	File      Type = "file"
	Directory Type = "directory"
	Symlink   Type = "symlink"
)

// Entry is a file, directory or symbolic link.
type Entry struct {
	Type  Type   `json:"type"`
	Mode  uint32 `json:"mode,omitempty"` // permission bits
	MTime int64  `json:"mtime"`          // seconds since 1970
	Size  uint64 `json:"size,omitempty"`
	// Blocks are the contents of each BlockSize bytes, without the zero bytes at their end.
	Blocks []content.Sum `json:"blocks,omitempty"`
	Target string        `json:"target,omitempty"` // of a symbolic link
}

func (e Entry) equal(other Entry) bool {
	return e.Type == other.Type && e.Mode == other.Mode && e.Size == other.Size && e.Target == other.Target && slices.Equal(e.Blocks, other.Blocks)
}

// Tree has an entry for each path but the root: relative, clean, separated by slashes. Parents are always in it.
type Tree map[string]Entry

// Named is an entry with its path.
type Named struct {
	Path string
	Entry
}

// Clean returns the path as a Tree has it; "" for the root.
func Clean(p string) (string, error) {
	if strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("%w: %q", ErrInvalid, p)
	}
	clean := strings.TrimPrefix(path.Clean("/"+p), "/")
	for _, part := range strings.Split(p, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: %q", ErrInvalid, p)
		}
	}
	return clean, nil
}

// Get returns the entry at p.
func (t Tree) Get(p string) (Entry, error) {
	clean, err := Clean(p)
	if err != nil {
		return Entry{}, err
	}
	if clean == "" {
		return Entry{Type: Directory, Mode: 0o755}, nil
	}
	entry, ok := t[clean]
	if !ok {
		return Entry{}, fmt.Errorf("%s: %w", p, ErrNotFound)
	}
	return entry, nil
}

// List returns the entries of the directory p, or the one of the file p, by path: parents come before what is in them,
// which Modal's command line relies on when it downloads a directory.
func (t Tree) List(p string, recursive bool) ([]Named, error) {
	entry, err := t.Get(p)
	if err != nil {
		return nil, err
	}
	clean, _ := Clean(p)
	if entry.Type != Directory {
		return []Named{{clean, entry}}, nil
	}
	var list []Named
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if inside(clean, name) && (recursive || parent(name) == clean) {
			list = append(list, Named{name, t[name]})
		}
	}
	return list, nil
}

// inside says whether name is below the directory dir.
func inside(dir, name string) bool { return dir == "" || strings.HasPrefix(name, dir+"/") }

func parent(name string) string {
	dir := path.Dir(name)
	if dir == "." {
		return ""
	}
	return dir
}

// Put makes or replaces the entry at p, and makes its parents.
func (t Tree) Put(p string, entry Entry) error {
	clean, err := Clean(p)
	if err != nil {
		return err
	}
	if clean == "" {
		return fmt.Errorf("%w: %q is the volume itself", ErrInvalid, p)
	}
	if old, ok := t[clean]; ok && (old.Type == Directory) != (entry.Type == Directory) {
		return fmt.Errorf("%s is a %s: %w", p, old.Type, ErrExists)
	}
	for dir := parent(clean); dir != ""; dir = parent(dir) {
		old, ok := t[dir]
		if ok && old.Type != Directory {
			return fmt.Errorf("%s is a %s: %w", dir, old.Type, ErrExists)
		}
		if !ok {
			t[dir] = Entry{Type: Directory, Mode: 0o755, MTime: entry.MTime}
		}
	}
	t[clean] = entry
	return nil
}

// Remove removes the file p or, if recursive, the directory p and all in it.
func (t Tree) Remove(p string, recursive bool) error {
	entry, err := t.Get(p)
	if err != nil {
		return err
	}
	clean, _ := Clean(p)
	if entry.Type == Directory && !recursive {
		return fmt.Errorf("%w: %s is a directory, and the removal is not recursive", ErrInvalid, p)
	}
	for name := range t {
		if name == clean || (entry.Type == Directory && inside(clean, name)) {
			delete(t, name)
		}
	}
	return nil
}

// Copy copies each source to dst; into dst where that is a directory, or there is more than one source.
func (t Tree) Copy(sources []string, dst string, recursive bool) error {
	target, err := t.Get(dst)
	into := len(sources) > 1 || strings.HasSuffix(dst, "/") || (err == nil && target.Type == Directory)
	for _, source := range sources {
		entry, err := t.Get(source)
		if err != nil {
			return err
		}
		if entry.Type == Directory && !recursive {
			return fmt.Errorf("%w: %s is a directory, and the copy is not recursive", ErrInvalid, source)
		}
		list, err := t.List(source, true)
		if err != nil {
			return err
		}
		clean, _ := Clean(source)
		to := dst
		if into {
			to = path.Join(dst, path.Base(clean))
		}
		if entry.Type == Directory {
			if err := t.Put(to, entry); err != nil {
				return err
			}
		}
		for _, named := range list {
			if err := t.Put(to+strings.TrimPrefix(named.Path, clean), named.Entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bytes is the size of all files.
func (t Tree) Bytes() (sum uint64) {
	for _, entry := range t {
		sum += entry.Size
	}
	return sum
}

// Clone returns a tree of its own.
func (t Tree) Clone() Tree { return maps.Clone(t) }

// Has says whether some file has that block.
func (t Tree) Has(block content.Sum) bool {
	for _, entry := range t {
		if slices.Contains(entry.Blocks, block) {
			return true
		}
	}
	return false
}
