package transfer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// ConflictError says that files exist where others are to be copied to. It is fs.ErrExist.
type ConflictError struct {
	Op    string   // "get" or "put"
	Paths []string // of the files that exist, in order
}

// conflictsListed is how many paths an error lists: enough to see which kind of files they are.
const conflictsListed = 3

func (c *ConflictError) Error() string {
	named := make([]string, len(c.Paths))
	for i, path := range c.Paths {
		named[i] = strconv.Quote(path)
	}
	text := c.Op + ": " + exit.Few(named, conflictsListed)
	if len(c.Paths) == 1 {
		return text + " exists"
	}
	return text + " exist"
}

// Is says that it is fs.ErrExist.
func (c *ConflictError) Is(target error) bool { return target == fs.ErrExist }

// conflicts collects the paths of a ConflictError, from several goroutines.
type conflicts struct {
	mu    sync.Mutex
	paths []string
}

func (c *conflicts) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths = append(c.paths, path)
}

func (c *conflicts) error(op string) error {
	if len(c.paths) == 0 {
		return nil
	}
	slices.Sort(c.paths)
	return &ConflictError{op, c.paths}
}

// check refuses to copy items into a target where something is that must not be replaced: a directory for a file or the
// other way round, what is no regular file, and, unless force is given, a file of which the one in the volume is no
// continuation.
func (t *Transfer) check(ctx context.Context, to *target, items []item, force bool) error {
	var found conflicts
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, item := range items {
		if item.Type != backend.File && item.Type != backend.Directory {
			continue
		}
		info, err := to.root.Lstat(item.name)
		switch {
		case err != nil: // what is not there is in no way, and any other error is one of copying
		case info.IsDir() && item.Type == backend.File:
			return errors.Join(to.pathError(item.name, backend.ErrIsDirectory), group.Wait())
		case info.IsDir():
		case item.Type == backend.Directory && info.Mode()&fs.ModeSymlink != 0: // perhaps to a directory
		case item.Type == backend.Directory:
			return errors.Join(to.pathError(item.name, fs.ErrExist), group.Wait())
		case !info.Mode().IsRegular():
			return errors.Join(to.pathError(item.name, backend.ErrNotFile), group.Wait())
		case force, info.Size() == 0, info.Size() == item.Size && info.ModTime().Equal(item.Modified):
		default:
			group.Go(func() error {
				same, err := t.continues(ctx, item, to, info.Size())
				if err == nil && !same {
					found.add(filepath.Join(to.root.Name(), item.name))
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return found.error("get")
}

// continues says whether the file of the volume begins with what the local one has.
func (t *Transfer) continues(ctx context.Context, item item, to *target, size int64) (same bool, err error) {
	if size > item.Size {
		return false, nil
	}
	var file *os.File
	if file, err = to.root.Open(item.name); err != nil {
		return false, err
	}
	defer file.Close()
	err = t.steadily(ctx, item.Entry, func(entry backend.Entry) (err error) {
		same, err = t.Volume.Compare(ctx, entry, size, file)
		if errors.Is(err, errors.ErrUnsupported) {
			same, err = backend.CompareRead(ctx, t.Volume, entry, size, file, t.moved)
		}
		return err
	})
	if _, gone := errors.AsType[*goneError](err); gone {
		return true, nil // nothing will be copied
	}
	return same, err
}
