package modal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/transfer"
)

// mirror is a copy, on this machine, of the small files of the runs on a volume. What was fetched is not fetched again,
// so that a thousand runs are read as fast as if they were here.
type mirror struct {
	volume *Volume
	dir    string
}

// openMirror returns the mirror of a volume. Several commands may use it at once.
func openMirror(volume *Volume) (*mirror, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	m := &mirror{volume, filepath.Join(cache, "mtt", "mirrors", volume.id)}
	return m, os.MkdirAll(filepath.Join(m.dir, "runs"), 0o700)
}

// refresh brings the records of a run, or of all for "", up to date: what is small, and the logs of runs that are not
// over, or of the one that is asked for.
func (m *mirror) refresh(ctx context.Context, id string) error {
	release, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	below := path.Join("runs", id)
	entries, err := m.volume.List(ctx, below, true)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err = nil, m.volume.exists(ctx)
	}
	if err != nil {
		return err
	}
	var wanted []backend.Entry
	logged := unfinished(entries)
	for _, entry := range entries {
		if isRecord(entry.Path) || isLog(entry.Path) && (id != "" || logged[entry.Path]) {
			wanted = append(wanted, entry)
		}
	}
	t := &transfer.Transfer{Volume: m.volume}
	if err := t.Entries(ctx, "", wanted, m.dir); err != nil {
		return err
	}
	return m.prune(below, entries)
}

// put writes a file to the volume, and then here.
func (m *mirror) put(ctx context.Context, name string, raw []byte, exclusive bool) error {
	release, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	err = m.volume.Put(ctx, []backend.Source{{
		Path: name, Size: int64(len(raw)), Mode: 0o644,
		Open: func() (backend.Content, error) { return small{bytes.NewReader(raw)}, nil },
	}}, backend.PutOptions{Exclusive: exclusive})
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(m.volume.exists(ctx), err)
	}
	if err != nil {
		return err
	}
	here := filepath.Join(m.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(here), 0o700); err != nil {
		return err
	}
	temporary := here + ".tmp"
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, here)
}

// small is content that is in memory.
type small struct{ *bytes.Reader }

func (small) Close() error { return nil }

// remove removes a file of the volume, and here.
func (m *mirror) remove(ctx context.Context, name string) error {
	release, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.volume.Remove(ctx, name, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(filepath.Join(m.dir, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// all fetches everything of a directory of the volume, event files too.
func (m *mirror) all(ctx context.Context, dir string) (moved int64, err error) {
	release, err := m.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	t := &transfer.Transfer{Volume: m.volume}
	err = t.Sync(ctx, dir, filepath.Join(m.dir, filepath.FromSlash(dir)))
	_, moved, _ = t.Moved()
	return moved, err
}

// isRecord says whether a path is one of a run's JSON files.
func isRecord(name string) bool { return path.Ext(name) == ".json" }

// isLog says whether a path is one of an attempt's log.
func isLog(name string) bool {
	return path.Base(path.Dir(name)) == "log" && strings.Contains(path.Base(name), ".jsonl")
}

// unfinished returns the logs of newest attempts that have not ended: how far those are is only in their logs.
func unfinished(entries []backend.Entry) map[string]bool {
	there := make(map[string]bool, len(entries))
	newest := map[string]string{} // claim.json by run; as names of the same length compare as numbers do
	for _, entry := range entries {
		there[entry.Path] = true
		parts := strings.Split(entry.Path, "/") // runs/<id>/attempts/<n>/claim.json
		if len(parts) == 5 && parts[2] == "attempts" && parts[4] == "claim.json" {
			if n := parts[3]; len(n) > len(newest[parts[1]]) || len(n) == len(newest[parts[1]]) && n > newest[parts[1]] {
				newest[parts[1]] = n
			}
		}
	}
	logs := map[string]bool{}
	for id, n := range newest {
		if !there[path.Join("runs", id, "attempts", n, "end.json")] {
			logs[path.Join("runs", id, "log", n+".jsonl")] = true
		}
	}
	return logs
}

// prune removes what the volume does not have any more.
func (m *mirror) prune(below string, entries []backend.Entry) error {
	there := make(map[string]bool, len(entries))
	for _, entry := range entries {
		there[entry.Path] = true
	}
	root := filepath.Join(m.dir, filepath.FromSlash(below))
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(m.dir, name)
		if err != nil || name == root && (len(entries) > 0 || below == "runs") || there[filepath.ToSlash(relative)] {
			return err
		}
		if entry.IsDir() {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			return fs.SkipDir
		}
		return os.Remove(name)
	})
}

// lock keeps other commands from writing the mirror until release.
func (m *mirror) lock(ctx context.Context) (release func(), err error) {
	file, err := os.OpenFile(filepath.Join(m.dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		}
	}
}
