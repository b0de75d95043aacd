package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/partial"
)

// Get copies a file or a directory of the volume to local, as cp does where local is a directory: below its own name. A
// file goes to the path local where that is no directory, and to what it is a link to where it is a link. The root of the
// volume has no name, so its content goes to local itself.
//
// Unless force is given, a local file with another content is not replaced: the error is a *ConflictError, before anything
// is copied. One that is the beginning of the file in the volume is continued. What is no regular file is never replaced:
// backend.ErrNotFile.
func (t *Transfer) Get(ctx context.Context, remote, local string, force bool) error {
	entry, err := t.Volume.Stat(ctx, remote)
	if err != nil {
		return err
	}
	switch entry.Type {
	case backend.Directory:
		return t.tree(ctx, entry, filepath.Join(local, path.Base("/"+entry.Path)), force)
	case backend.File:
		dir, name, err := place(local, path.Base(entry.Path))
		if err != nil {
			return err
		}
		target, err := open(dir, 0o755)
		if err != nil {
			return err
		}
		defer target.root.Close()
		if err := t.check(ctx, target, []item{{entry, name}}, force); err != nil {
			return err
		}
		return t.file(ctx, entry, target, name)
	default:
		return backend.PathError("get", remote, backend.ErrNotFile)
	}
}

// place returns the local directory and the name that a file called base goes to.
func place(local, base string) (dir, name string, err error) {
	info, err := os.Stat(local)
	switch {
	case err == nil && info.IsDir():
		return local, base, nil
	case err == nil:
		if local, err = filepath.EvalSymlinks(local); err != nil {
			return "", "", err
		}
	}
	dir, name = filepath.Split(local)
	if name == "" {
		return local, base, nil
	}
	return filepath.Clean(dir), name, nil
}

// Sync brings what a directory of the volume has into the directory local, which is to be its mirror: files there with
// another content are replaced. Nothing there is removed, and what is no regular file is never replaced.
func (t *Transfer) Sync(ctx context.Context, remote, local string) error {
	entry, err := t.Volume.Stat(ctx, remote)
	if err != nil {
		return err
	}
	if entry.Type != backend.Directory {
		return backend.PathError("sync", remote, errNotDirectory)
	}
	return t.tree(ctx, entry, local, true)
}

var errNotDirectory = errors.New("this is not a directory")

// Print writes what a file has.
func (t *Transfer) Print(ctx context.Context, remote string, to io.Writer) error {
	entry, err := t.Volume.Stat(ctx, remote)
	if err != nil {
		return err
	}
	entry.Whole = record(entry.Path)
	if err := t.Volume.Read(ctx, entry, 0, entry.Size, &counted{to, &t.bytes}); err != nil {
		return err
	}
	t.files.Add(1)
	return nil
}

// tree copies what is in a directory of the volume into local.
func (t *Transfer) tree(ctx context.Context, dir backend.Entry, local string, force bool) error {
	entries, err := t.Volume.List(ctx, dir.Path, true)
	if err != nil {
		return err
	}
	return t.into(ctx, dir, entries, local, force)
}

// Entries copies entries below a directory of the volume to the same places below local, as Sync does.
func (t *Transfer) Entries(ctx context.Context, dir string, entries []backend.Entry, local string) error {
	return t.into(ctx, backend.Entry{Path: dir}, entries, local, true)
}

// item is an entry of the volume with the path at which it is to be below a target.
type item struct {
	backend.Entry
	name string
}

func (t *Transfer) into(ctx context.Context, dir backend.Entry, entries []backend.Entry, local string, force bool) error {
	target, err := open(local, directoryMode(dir))
	if err != nil {
		return err
	}
	defer target.root.Close()
	items := make([]item, 0, len(entries))
	for _, entry := range entries {
		name, below := strings.CutPrefix(entry.Path, dir.Path)
		name = strings.TrimPrefix(name, "/")
		if !below || !filepath.IsLocal(filepath.FromSlash(name)) { // the volume is not to be trusted
			return fmt.Errorf("the volume has an entry %q, which is not below %q", entry.Path, dir.Path)
		}
		items = append(items, item{entry, name})
	}
	if err := t.check(ctx, target, items, force); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, item := range items {
		switch item.Type {
		case backend.Directory:
			if err := target.makeDir(item); err != nil {
				return errors.Join(err, group.Wait())
			}
		case backend.File:
			group.Go(func() error {
				err := t.file(ctx, item.Entry, target, item.name)
				if _, gone := errors.AsType[*goneError](err); gone {
					if strings.ContainsRune(item.Path, utf8.RuneError) {
						t.skip(item.Path, unnameable)
					}
					return nil // as if it had been removed before it was listed
				}
				return err
			})
		default:
			t.skip(item.Path, irregular)
		}
	}
	return group.Wait()
}

// directoryMode is the permission bits with which a directory is made: those of the volume's, if it tells them, and those
// that its files need to be made.
func directoryMode(entry backend.Entry) fs.FileMode {
	if entry.Mode == nil {
		return 0o755
	}
	return *entry.Mode | 0o700
}

// target is a directory that files are copied into.
type target struct {
	root *os.Root
	mu   sync.Mutex
	left map[string][]string // unfinished files that were there, by directory
}

// open opens a directory, which is made with these permission bits if it does not exist.
func open(dir string, mode fs.FileMode) (*target, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	return &target{root: root, left: map[string][]string{}}, err
}

func (t *target) makeDir(dir item) error {
	if err := t.root.MkdirAll(path.Dir(dir.name), 0o755); err != nil {
		return err
	}
	if err := t.root.Mkdir(dir.name, directoryMode(dir.Entry)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// pathError is an error about what is at a path.
func (t *target) pathError(name string, err error) error {
	return backend.PathError("write", filepath.Join(t.root.Name(), name), err)
}

// sweep removes what killed commands left of other contents of a file that is whole now.
func (t *target) sweep(name string) {
	dir := path.Dir(name)
	t.mu.Lock()
	left, known := t.left[dir]
	if !known {
		entries, _ := fs.ReadDir(t.root.FS(), dir)
		for _, entry := range entries {
			if partial.Is(entry.Name()) {
				left = append(left, entry.Name())
			}
		}
		t.left[dir] = left
	}
	t.mu.Unlock()
	for _, outdated := range partial.Outdated(left, name) {
		_ = t.root.Remove(path.Join(dir, outdated)) // or the next command does
	}
}

// goneError says that a file was removed from the volume while it was copied.
type goneError struct{ error }

func (g *goneError) Unwrap() error { return g.error }

// file brings one file up to date: it is left alone, continued in place, or replaced.
func (t *Transfer) file(ctx context.Context, entry backend.Entry, to *target, name string) error {
	entry.Whole = entry.Whole || record(entry.Path)
	return t.steadily(ctx, entry, func(entry backend.Entry) error { return t.fileOnce(ctx, entry, to, name) })
}

// steadily does something with a file of the volume, anew if it has changed meanwhile.
func (t *Transfer) steadily(ctx context.Context, entry backend.Entry, do func(backend.Entry) error) error {
	for try := 1; ; try++ {
		err := do(entry)
		moving := errors.Is(err, backend.ErrChanged) || errors.Is(err, fs.ErrNotExist)
		if !moving || ctx.Err() != nil {
			return err
		}
		now, statErr := t.Volume.Stat(ctx, entry.Path)
		if errors.Is(statErr, fs.ErrNotExist) {
			return &goneError{statErr}
		}
		if statErr != nil || try == tries {
			return errors.Join(err, statErr)
		}
		now.Whole = entry.Whole
		if now.Mode == nil {
			now.Mode = entry.Mode
		}
		entry = now
	}
}

// record says whether a file of that name is one that is only ever replaced, such as mtt's records and manifests.
func record(name string) bool { return path.Ext(name) == ".json" }

func (t *Transfer) fileOnce(ctx context.Context, entry backend.Entry, to *target, name string) error {
	began := time.Now()
	info, err := to.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := to.root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.IsDir():
		return to.pathError(name, backend.ErrIsDirectory)
	case !info.Mode().IsRegular():
		return to.pathError(name, backend.ErrNotFile)
	case info.Size() == entry.Size && info.ModTime().Equal(entry.Modified):
		t.unchanged.Add(1)
		return nil
	case info.Size() == entry.Size:
		same, err := t.isThere(ctx, entry, to, name)
		if same {
			t.unchanged.Add(1)
			return to.stamp(name, entry, began)
		}
		if err != nil {
			return err
		}
	case 0 < info.Size() && info.Size() < entry.Size && !entry.Whole:
		continued, err := t.extend(ctx, entry, to, name)
		if continued {
			return to.stamp(name, entry, began)
		}
		if err != nil {
			return err
		}
	}
	return t.replace(ctx, entry, to, name, fileMode(entry, info), began)
}

// fileMode is the permission bits of a file that is fetched: no wider than the volume's file, if it tells, nor than the
// local one that is replaced.
func fileMode(entry backend.Entry, replaced fs.FileInfo) fs.FileMode {
	mode := fs.FileMode(0o644)
	if entry.Mode != nil {
		mode = *entry.Mode
	}
	if replaced != nil {
		mode &= replaced.Mode().Perm()
	}
	return mode
}

// settled is how old a file has to be for its time to tell it from what replaces it: volumes have times of whole seconds.
const settled = 2 * time.Second

// stamp gives a file here the time that it has in the volume, by which the next command knows that it has not changed. One
// that was not settled when its reading began gets another, so that it is compared again.
func (t *target) stamp(name string, entry backend.Entry, began time.Time) error {
	at := entry.Modified
	if began.Sub(at) < settled {
		at = at.Add(-time.Millisecond)
	}
	return t.root.Chtimes(name, at, at)
}

// isThere says whether a file has the content already that it has in the volume, as far as that can be told without moving it.
func (t *Transfer) isThere(ctx context.Context, entry backend.Entry, to *target, name string) (bool, error) {
	file, err := to.root.Open(name)
	if err != nil {
		return false, nil // one that cannot be read can be replaced
	}
	defer file.Close()
	same, err := t.Volume.Compare(ctx, entry, entry.Size, file)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	return same, err
}

// replace fetches a whole file beside the one that may be there. It goes on with what a killed command fetched of the same one.
func (t *Transfer) replace(ctx context.Context, entry backend.Entry, to *target, name string, mode fs.FileMode, began time.Time) error {
	version := fmt.Sprintf("%s %d %d", entry.Path, entry.Size, entry.Modified.UnixNano())
	file, err := partial.Open(to.root, name, version, mode)
	if err != nil {
		return err
	}
	if err := narrow(file.File, mode|0o200); err != nil { // one that was left may have others
		return errors.Join(err, file.Close())
	}
	if begun := file.Begun(); begun > 0 {
		good := begun <= entry.Size && !entry.Whole
		if good {
			if good, err = t.Volume.Compare(ctx, entry, begun, file); errors.Is(err, errors.ErrUnsupported) {
				good, err = true, nil // then the size and the time that it was fetched for must do
			}
		}
		if err == nil && !good {
			err = file.Restart()
		}
		if err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := t.Volume.Read(ctx, entry, file.Begun(), entry.Size-file.Begun(), &counted{file, &t.bytes}); err != nil {
		if errors.Is(err, backend.ErrChanged) {
			return errors.Join(err, file.Discard())
		}
		return errors.Join(err, file.Close()) // kept, to be gone on with
	}
	if same, err := t.isFetched(file, to, name); same || err != nil {
		// The inode that others may have open stays.
		return errors.Join(err, file.Discard(), to.stamp(name, entry, began))
	}
	if err := narrow(file.File, mode); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Publish(); err != nil {
		return err
	}
	to.sweep(name)
	t.files.Add(1)
	return to.stamp(name, entry, began)
}

// narrow takes from a file the permission bits that mode does not have.
func narrow(file *os.File, mode fs.FileMode) error {
	info, err := file.Stat()
	if err != nil || info.Mode().Perm()&^mode == 0 {
		return err
	}
	return file.Chmod(info.Mode().Perm() & mode)
}

// isFetched says whether the name has the content already that was fetched.
func (t *Transfer) isFetched(file *partial.File, to *target, name string) (bool, error) {
	info, err := to.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false, nil
	}
	fetched, err := file.Stat()
	if err != nil || fetched.Size() != info.Size() {
		return false, err
	}
	there, err := to.root.Open(name)
	if err != nil {
		return false, err
	}
	defer there.Close()
	return backend.SameContent(there, io.NewSectionReader(file, 0, info.Size()))
}

// How much of a file that has grown is read again before it is continued. The end, as far as it was, always is: so what is
// appended belongs to what was compared, whatever happened meanwhile. Where the volume cannot tell without moving it
// whether the rest is the same, the head is read again of what is only ever appended to by its format: it has records with
// times, and is followed often. What else has grown is fetched whole then.
const (
	headCompared = 4 << 10
	tailCompared = 32 << 10
)

// appendOnly says whether a file of that name is one that is only ever appended to: an event file of TensorBoard's, or lines
// of JSON.
func appendOnly(name string) bool {
	return strings.HasPrefix(path.Base(name), "events.out.tfevents.") || path.Ext(name) == ".jsonl"
}

// extend appends to a file that is here what it has in the volume beyond. It reports false if what is here is not its beginning.
func (t *Transfer) extend(ctx context.Context, entry backend.Entry, to *target, name string) (continued bool, err error) {
	file, err := to.root.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if err := partial.Lock(file); err != nil {
		return false, &fs.PathError{Op: "write", Path: file.Name(), Err: err}
	}
	info, err := file.Stat()
	if err != nil || info.Size() > entry.Size {
		return false, err
	}
	if entry.Mode != nil {
		if err := narrow(file, *entry.Mode); err != nil {
			return false, err
		}
	}
	have := info.Size()
	tail := max(0, have-tailCompared)
	if tail > 0 {
		same, err := t.Volume.Compare(ctx, entry, tail, file)
		if errors.Is(err, errors.ErrUnsupported) && appendOnly(name) {
			same, err = backend.CompareRead(ctx, t.Volume, entry, min(headCompared, tail), file, t.moved)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return false, nil
		}
		if !same || err != nil {
			return false, err
		}
	}
	appended := &appender{file: file, at: tail, have: have}
	err = t.Volume.Read(ctx, entry, tail, entry.Size-tail, &counted{appended, &t.bytes})
	if appended.differs {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.files.Add(1)
	return true, file.Close()
}

// appender is a writer that compares what comes with what the file has, as far as it goes, and appends the rest.
type appender struct {
	file     *os.File
	at, have int64
	differs  bool
}

var errDiffers = errors.New("the file is not the beginning of the one in the volume")

func (a *appender) Write(p []byte) (int, error) {
	compared := int(max(0, min(int64(len(p)), a.have-a.at)))
	if compared > 0 {
		there := make([]byte, compared)
		if _, err := a.file.ReadAt(there, a.at); err != nil {
			return 0, err
		}
		if !slices.Equal(there, p[:compared]) {
			a.differs = true
			return 0, errDiffers
		}
	}
	n, err := a.file.Write(p[compared:])
	a.at += int64(compared + n)
	return compared + n, err
}
