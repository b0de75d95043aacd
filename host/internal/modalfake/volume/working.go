package volume

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
)

// Working is the copy of a volume that a Sandbox sees: the tree as it was when the Sandbox began, in a directory. What
// others commit afterwards does not appear in it.
type Working struct {
	dir   string
	store *content.Store
	base  Tree               // what the directory had when it was filled or last committed
	known map[string]scanned // to read a file again only if it may have changed
}

type scanned struct {
	info  fs.FileInfo
	at    time.Time
	entry Entry
}

// settled is how long a file must have been left alone for its time to tell whether it changed: more than the ticks in
// which file systems count.
const settled = 100 * time.Millisecond

// Fill makes dir hold the tree.
func Fill(dir string, store *content.Store, tree Tree) (*Working, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if err := write(filepath.Join(dir, filepath.FromSlash(name)), store, tree[name]); err != nil {
			return nil, err
		}
	}
	return &Working{dir: dir, store: store, base: tree.Clone(), known: make(map[string]scanned)}, nil
}

func write(path string, store *content.Store, entry Entry) error {
	switch entry.Type {
	case Directory:
		return os.Mkdir(path, fs.FileMode(entry.Mode&0o777|0o700))
	case Symlink:
		return os.Symlink(entry.Target, path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(entry.Mode&0o777))
	if err != nil {
		return err
	}
	if err := errors.Join(entry.Write(store, f), f.Close()); err != nil {
		return err
	}
	mtime := time.Unix(entry.MTime, 0)
	return os.Chtimes(path, mtime, mtime)
}

// Change is what happened in a working copy since its last commit.
type Change struct {
	Put     Tree
	Removed []string
	scan    Tree
}

// Scan stores the content of the directory and returns what changed.
func (w *Working) Scan() (*Change, error) {
	now, known := Tree{}, make(map[string]scanned)
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == w.dir {
			return ignoreGone(err)
		}
		name, err := filepath.Rel(w.dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		file, err := w.read(path, w.known[name])
		if err != nil {
			return ignoreGone(err)
		}
		if file.entry.Type != "" {
			now[name], known[name] = file.entry, file
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.known = known
	change := &Change{Put: Tree{}, scan: now}
	for name, entry := range now {
		if old, ok := w.base[name]; !ok || !old.equal(entry) {
			change.Put[name] = entry
		}
	}
	for name := range w.base {
		if _, ok := now[name]; !ok {
			change.Removed = append(change.Removed, name)
		}
	}
	return change, nil
}

// ignoreGone: the Sandbox goes on while its directory is read, and may remove what was just listed.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (w *Working) read(path string, known scanned) (scanned, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return scanned{}, err
	}
	if known.info != nil && os.SameFile(info, known.info) && info.Size() == known.info.Size() && info.Mode() == known.info.Mode() &&
		changed(info).Equal(changed(known.info)) && known.at.Sub(changed(known.info)) > settled {
		return known, nil
	}
	file := scanned{info: info, at: time.Now(), entry: Entry{Mode: uint32(info.Mode().Perm()), MTime: info.ModTime().Unix()}}
	switch {
	case info.IsDir():
		file.entry.Type = Directory
	case info.Mode().IsRegular():
		file.entry.Type = File
		f, err := os.Open(path)
		if err != nil {
			return scanned{}, err
		}
		defer f.Close()
		file.entry.Blocks, file.entry.Size, err = Store(w.store, f)
		return file, err
	case info.Mode()&fs.ModeSymlink != 0:
		file.entry.Type = Symlink
		file.entry.Target, err = os.Readlink(path)
		return file, err
	}
	return file, nil // a socket or the like has no type here and is left out
}

// Tear returns a change with only those files and removals that keep says.
func (c *Change) Tear(keep func() bool) *Change {
	torn := &Change{Put: Tree{}, scan: c.scan}
	for _, name := range slices.Sorted(maps.Keys(c.Put)) {
		if c.Put[name].Type == Directory || keep() {
			torn.Put[name] = c.Put[name]
		}
	}
	for _, name := range c.Removed {
		if keep() {
			torn.Removed = append(torn.Removed, name)
		}
	}
	return torn
}

// Apply returns the tree with the change made to it. The last writer of a file wins; what others put into a directory
// that this Sandbox removed stays, and the directory with it.
func (c *Change) Apply(tree Tree) Tree {
	tree = tree.Clone()
	slices.Sort(c.Removed)
	for _, name := range slices.Backward(c.Removed) { // what is in a directory before the directory
		if !slices.ContainsFunc(slices.Collect(maps.Keys(tree)), func(other string) bool { return inside(name, other) }) {
			delete(tree, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Put)) {
		if old, ok := tree[name]; ok && old.Type == Directory && c.Put[name].Type != Directory {
			_ = tree.Remove(name, true)
		}
		for dir := parent(name); dir != ""; dir = parent(dir) { // another Sandbox may have removed or replaced a parent
			if old, ok := tree[dir]; !ok || old.Type != Directory {
				tree[dir] = c.scan[dir]
			}
		}
		tree[name] = c.Put[name]
	}
	return tree
}

// Committed says that the change is now in the volume.
func (w *Working) Committed(c *Change) { w.base = c.scan }
