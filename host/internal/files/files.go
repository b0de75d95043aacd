// Package files keeps what an experiment writes to its output directory: it fills the directory of an attempt from what
// earlier ones have kept, and brings what changes there back to the volume.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// parallel is how many files are copied at once. What takes the time of small ones is the fsync, which file systems carry
// out for several together.
const parallel = 16

// Keeper keeps the output directory of one attempt. Its methods must not be called at the same time.
type Keeper struct {
	output, kept string
	gone         bool
	copied       map[string]version // what each file of output was when kept had its content
	known        map[string]bool    // paths that the experiment had: those that are missing from output were removed by it
}

// Fill copies what is kept into the output directory, which is empty. What a killed Keep has left unfinished is removed from
// kept. What Keep would not have kept, such as a link to another directory, is refused, since to follow or to replace it
// could cost what is behind it. A *KeptError says what is wrong with what is kept; any other error is one of the output
// directory.
func Fill(ctx context.Context, kept, output string) (*Keeper, error) {
	gone, err := makeMissing(kept)
	if err != nil {
		return nil, &KeptError{err}
	}
	info, err := os.Lstat(kept)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory (%s)", kept, kindOf(info.Mode()))
	}
	if err != nil {
		return nil, &KeptError{err}
	}
	found := scan(kept)
	if err := errors.Join(found.passed...); err != nil {
		return nil, &KeptError{fmt.Errorf("what a run keeps has to be there itself: %w", err)}
	}
	for _, path := range found.unfinished {
		if err := os.Remove(filepath.Join(kept, path)); err != nil {
			return nil, &KeptError{err}
		}
	}
	err = found.copyTo(ctx, kept, output, nil)
	if passed := errors.Join(found.passed...); passed != nil { // half of it is not what the experiment had
		return nil, &KeptError{passed}
	}
	return &Keeper{output: output, kept: kept, copied: found.versions(output), known: found.paths(), gone: gone}, err
}

// versions are those that the files have below a directory to which they were just copied.
func (t *tree) versions(dir string) map[string]version {
	versions := make(map[string]version, len(t.files))
	for _, file := range t.files {
		if info, err := os.Lstat(filepath.Join(dir, file.path)); err == nil {
			versions[file.path] = versionOf(info)
		}
	}
	return versions
}

// makeMissing makes a directory durably, and says whether it did not exist.
func makeMissing(dir string) (made bool, err error) {
	switch err := os.Mkdir(dir, 0o755); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	default:
		return true, syncDirectory(filepath.Dir(dir))
	}
}

// Gone says that the directory of what was kept did not exist when the output directory was filled: it was made with the run.
func (k *Keeper) Gone() bool { return k.gone }

// KeptError is an error about what is kept of a run.
type KeptError struct{ error }

func (k *KeptError) Unwrap() error { return k.error }

// Keep brings what has changed in the output directory to the volume, durably: each file arrives whole or not at all. What
// the experiment has removed is removed. What it cannot have kept, such as a pipe, stays as it was and is returned in passed;
// an error is one of the volume.
func (k *Keeper) Keep(ctx context.Context) (passed []error, err error) {
	if _, err := os.Lstat(k.output); err != nil {
		return []error{err}, nil // an experiment that removes the directory itself does not mean all that was in it
	}
	found := scan(k.output)
	for _, path := range found.unfinished {
		found.pass(path, fmt.Errorf("%s has a name that mtt keeps for itself (%s*)", filepath.Join(k.output, path), unfinished))
	}
	if err := found.copyTo(ctx, k.output, k.kept, k.copied); err != nil {
		return found.passed, err
	}
	return found.passed, k.removeMissing(found)
}

// removeMissing removes what the experiment had and has no more.
func (k *Keeper) removeMissing(found *tree) error {
	now := found.paths()
	var missing []string
	for path := range k.known {
		if !now[path] && !found.unseen(path) && !found.belowOther(path) {
			missing = append(missing, path)
		}
	}
	slices.Sort(missing)
	changed := map[string]bool{}
	for _, path := range slices.Backward(missing) { // children before their parents
		target := filepath.Join(k.kept, path)
		err := os.Remove(target)
		switch {
		case err == nil:
			changed[filepath.Dir(target)] = true
		case errors.Is(err, fs.ErrNotExist), isDirectory(target): // others have put something into it
		default:
			return err
		}
	}
	k.known = now
	maps.DeleteFunc(k.copied, func(path string, _ version) bool { return !now[path] })
	return syncAll(changed)
}

func isDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// tree is what was found below a directory, by paths relative to it, parents before what is in them.
type tree struct {
	directories []entry
	files       []entry
	links       []link
	unfinished  []string
	passed      []error
	other       map[string]bool // paths of files and links
	hidden      []string        // paths that exist, of which, or of what is below, nothing is known
}

type entry struct {
	path string
	mode fs.FileMode // permission bits
}

type link struct{ path, to string }

// scan finds what is below a directory.
func scan(root string) *tree {
	t := &tree{other: map[string]bool{}}
	_ = filepath.WalkDir(root, func(name string, found fs.DirEntry, err error) error {
		if name == root && err == nil {
			return nil
		}
		path, relErr := filepath.Rel(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the experiment removed it meanwhile
		}
		if err = errors.Join(err, relErr); err != nil {
			t.pass(path, err)
			return nil
		}
		t.add(path, name, found)
		return nil
	})
	return t
}

func (t *tree) add(path, name string, found fs.DirEntry) {
	if !utf8.ValidString(path) {
		t.pass(path, fmt.Errorf("%q: its name is not UTF-8, which not every volume can have", name))
		return
	}
	info, err := found.Info()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.pass(path, err)
	case info.IsDir():
		t.directories = append(t.directories, entry{path, info.Mode().Perm()})
	case info.Mode().IsRegular() && isUnfinished(path):
		t.unfinished = append(t.unfinished, path)
	case info.Mode().IsRegular():
		t.files, t.other[path] = append(t.files, entry{path, info.Mode().Perm()}), true
	case info.Mode().Type() == fs.ModeSymlink:
		to, err := os.Readlink(name)
		if err == nil && !staysInside(path, to) {
			err = linkError(name)
		}
		if err != nil {
			t.pass(path, err)
			return
		}
		t.links, t.other[path] = append(t.links, link{path, to}), true
	default:
		t.pass(path, fmt.Errorf("%s is no regular file (%s)", name, kindOf(info.Mode())))
	}
}

func (t *tree) pass(path string, err error) {
	t.passed = append(t.passed, err)
	t.hidden = append(t.hidden, path)
}

// unseen says whether a path may exist although it was not found.
func (t *tree) unseen(path string) bool {
	return slices.ContainsFunc(t.hidden, func(hidden string) bool {
		return path == hidden || strings.HasPrefix(path, hidden+string(filepath.Separator))
	})
}

// belowOther says whether a path is below what is no directory now, and so went with the directory that was there.
func (t *tree) belowOther(path string) bool {
	for parent := filepath.Dir(path); parent != "."; parent = filepath.Dir(parent) {
		if t.other[parent] {
			return true
		}
	}
	return false
}

func (t *tree) paths() map[string]bool {
	paths := make(map[string]bool, len(t.directories)+len(t.files)+len(t.links))
	for _, entries := range [][]entry{t.directories, t.files} {
		for _, e := range entries {
			paths[e.path] = true
		}
	}
	for _, l := range t.links {
		paths[l.path] = true
	}
	return paths
}

// staysInside says whether a link is relative and leads to a path of the same tree.
func staysInside(path, to string) bool {
	return !filepath.IsAbs(to) && filepath.IsLocal(filepath.Join(filepath.Dir(path), to))
}

func linkError(path string) error {
	return fmt.Errorf("%s is a link that leads out of its directory: only relative links to what is kept with them are", path)
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeNamedPipe:
		return "a pipe"
	case fs.ModeSocket:
		return "a socket"
	case fs.ModeSymlink:
		return "a link"
	case 0:
		return "a file"
	default:
		return "a device"
	}
}

// copyTo makes what was found below from exist below to, durably but for what was copied before. If copied is nil, all is
// copied, and may be lost with the machine.
func (t *tree) copyTo(ctx context.Context, from, to string, copied map[string]version) error {
	durable := copied != nil
	c := &copying{durable: durable, from: from, to: to, copied: copied, changed: map[string]bool{}}
	for _, directory := range t.directories {
		if err := c.directory(directory); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, file := range t.files {
		group.Go(func() error {
			err := c.file(ctx, file)
			if unreadable, ok := errors.AsType[*sourceError](err); ok {
				c.mu.Lock()
				defer c.mu.Unlock()
				t.pass(file.path, unreadable.error)
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	for _, link := range t.links {
		if err == nil {
			err = c.link(link)
		}
	}
	if durable {
		err = errors.Join(err, syncAll(c.changed))
	}
	return err
}
