package modal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/partial"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
	"github.com/mtt-project/mtt/host/internal/transfer"
)

// mirror is a copy, on this machine, of the small files of the runs on a volume. What was fetched is not fetched again,
// so that a thousand runs are read as fast as if they were here.
//
// Several commands may use it at once. Who reads takes no lock: files are replaced whole, or continued at their end. Who
// writes has a lock, one for each run, from before he lists what the volume has: what was put, or fetched, meanwhile would
// else be replaced by what was there before. Event files, which may take minutes to come, have a lock of their own, so that
// nobody waits for them who does not want them.
type mirror struct {
	volume *Volume
	dir    string
}

// unusedFor is how long a mirror is kept that nobody has opened, since volumes are deleted and nobody says so here.
const unusedFor = 30 * 24 * time.Hour

// openMirror returns the mirror of a volume, and removes those that are not used any more.
func openMirror(volume *Volume) (*mirror, error) {
	all, err := scratch.Cache("mirrors")
	if err != nil {
		return nil, err
	}
	m := &mirror{volume, filepath.Join(all, volume.remote.ID)}
	for _, dir := range []string{"runs", recordLocks, eventLocks} {
		if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o700); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	if err := os.Chtimes(m.dir, now, now); err != nil {
		return nil, err
	}
	mirrors, err := os.ReadDir(all)
	for _, other := range mirrors {
		if info, err := other.Info(); err == nil && now.Sub(info.ModTime()) > unusedFor {
			_ = os.RemoveAll(filepath.Join(all, other.Name())) // or the next command does
		}
	}
	return m, err
}

// refresh brings the records of a run, or of all for "", up to date: what is small, and the logs of runs that are not
// over, or of the one that is asked for.
func (m *mirror) refresh(ctx context.Context, id string) error {
	if id != "" {
		return m.records(ctx, id, func(name string) bool { return isRecord(name) || isLog(name) || path.Base(name) == run.ElapsedName })
	}
	_, err := m.all(ctx)
	return err
}

// all brings the records of all runs up to date, and returns what the volume has of them.
func (m *mirror) all(ctx context.Context) (map[string][]backend.Entry, error) {
	runs, err := m.list(ctx, "")
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runsAtOnce)
	for id, entries := range runs {
		log := unfinished(entries)
		wanted := func(name string) bool { return isRecord(name) || slices.Contains(log, name) }
		if !m.has(id, entries, wanted) {
			group.Go(func() error { return m.records(ctx, id, wanted) })
		}
	}
	return runs, group.Wait()
}

// runsAtOnce is how many runs are brought up to date at once. Each has calls of its own.
const runsAtOnce = 16

// events brings the records of some runs, of all for none, up to date, and their event files. changed says that something of
// these was not. While all is, one call has listed all runs.
func (m *mirror) events(ctx context.Context, ids []string) (changed bool, err error) {
	runs, err := m.list(ctx, "")
	if err != nil {
		return false, err
	}
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(runs))
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runsAtOnce)
	for _, id := range ids {
		entries := runs[id]
		lacksRecords, lacksEvents := !m.has(id, entries, isRecord), !m.has(id, entries, isEvents)
		changed = changed || lacksRecords || lacksEvents
		group.Go(func() error {
			if lacksRecords {
				if err := m.records(ctx, id, isRecord); err != nil {
					return err
				}
			}
			if !lacksEvents || len(entries) == 0 { // of a run that is gone, its records took all
				return nil
			}
			release, err := m.lock(ctx, eventLocks, id)
			if err != nil {
				return err
			}
			defer release()
			_, err = m.fetch(ctx, id, isEvents)
			return err
		})
	}
	return changed, group.Wait()
}

// records brings files of a run up to date that are not event files, and removes what the volume does not have any more.
func (m *mirror) records(ctx context.Context, id string, wanted func(name string) bool) error {
	release, err := m.lock(ctx, recordLocks, id)
	if err != nil {
		return err
	}
	defer release()
	entries, err := m.fetch(ctx, id, wanted)
	if err != nil {
		return err
	}
	return m.prune(id, entries)
}

// fetch brings files of a run here, and returns what the volume has of it. The caller has a lock.
func (m *mirror) fetch(ctx context.Context, id string, wanted func(name string) bool) ([]backend.Entry, error) {
	runs, err := m.list(ctx, id)
	if err != nil {
		return nil, err
	}
	var files, segments []backend.Entry
	for _, entry := range runs[id] {
		switch {
		case entry.Type != backend.File || !wanted(entry.Path):
		case isLog(entry.Path):
			segments = append(segments, entry)
		default:
			mode := run.RecordMode(entry.Path)
			entry.Mode = &mode
			entry.Whole = !isEvents(entry.Path)
			files = append(files, entry)
		}
	}
	t := &transfer.Transfer{Volume: m.volume}
	if err := t.Entries(ctx, "", files, m.dir); err != nil {
		return runs[id], err
	}
	// One after the other: where a segment is, those before it are whole.
	slices.SortFunc(segments, func(a, b backend.Entry) int { return cmp.Compare(segmentOf(a.Path), segmentOf(b.Path)) })
	for _, segment := range segments {
		if err := t.Entries(ctx, "", []backend.Entry{segment}, m.dir); err != nil {
			return runs[id], err
		}
	}
	return runs[id], nil
}

// list returns what the volume has of a run, or of all for "", and of all those that are only here: nothing.
func (m *mirror) list(ctx context.Context, id string) (map[string][]backend.Entry, error) {
	entries, err := m.volume.List(ctx, path.Join("runs", id), true)
	if errors.Is(err, fs.ErrNotExist) {
		err = m.volume.exists(ctx)
	}
	if err != nil {
		return nil, err
	}
	runs := map[string][]backend.Entry{}
	for _, entry := range entries {
		_, below, _ := strings.Cut(entry.Path, "/")
		of, _, _ := strings.Cut(below, "/")
		if run.CheckID(of) == nil {
			runs[of] = append(runs[of], entry)
		}
	}
	if id != "" {
		return runs, nil
	}
	here, err := os.ReadDir(filepath.Join(m.dir, "runs"))
	for _, entry := range here {
		if _, there := runs[entry.Name()]; !there {
			runs[entry.Name()] = nil
		}
	}
	return runs, err
}

// has says whether what is wanted of a run is here as it is on the volume, and nothing besides that is not there.
func (m *mirror) has(id string, entries []backend.Entry, wanted func(name string) bool) bool {
	missing := map[string]backend.Entry{}
	for _, entry := range entries {
		if entry.Type == backend.File && wanted(entry.Path) {
			missing[entry.Path] = entry
		}
	}
	err := m.walk(id, entries, func(name string, found fs.DirEntry, listed bool) error {
		if !listed {
			return fs.ErrExist
		}
		entry, ok := missing[m.there(name)]
		if !ok {
			return nil
		}
		info, err := found.Info()
		if err == nil && info.Size() == entry.Size && info.ModTime().Equal(entry.Modified) {
			delete(missing, entry.Path)
		}
		return err
	})
	return err == nil && len(missing) == 0
}

// put writes a file to the volume, and then here.
func (m *mirror) put(ctx context.Context, name string, raw []byte, exclusive bool) error {
	release, err := m.lock(ctx, recordLocks, idOf(name))
	if err != nil {
		return err
	}
	defer release()
	err = m.volume.Put(ctx, []backend.Source{{
		Path: name, Size: int64(len(raw)), Mode: run.RecordMode(name),
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
	release, err := m.lock(ctx, recordLocks, idOf(name))
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

// isRecord says whether a path is one of a run's JSON files.
func isRecord(name string) bool { return path.Ext(name) == ".json" }

// isLog says whether a path is one of an attempt's log.
func isLog(name string) bool {
	_, _, ok := eventlog.Parse(path.Base(name))
	return ok && path.Base(path.Dir(name)) == "log"
}

// segmentOf is the number of the segment of a log that has this path.
func segmentOf(name string) int {
	_, number, _ := eventlog.Parse(path.Base(name))
	return number
}

// isEvents says whether a path is that of an event file.
func isEvents(name string) bool { return strings.Contains(path.Base(name), ".tfevents.") }

// idOf is the run that a path belongs to.
func idOf(name string) string { return strings.Split(name, "/")[1] } // runs/<id>/…

// unfinished returns the two newest segments of the log of a run's newest attempt, if that has not ended: how far it is is only
// in its log, and a segment that was just begun may not say so yet.
func unfinished(entries []backend.Entry) []string {
	newest, ended := 0, map[int]bool{}
	for _, entry := range entries {
		parts := strings.Split(entry.Path, "/") // runs/<id>/attempts/<n>/claim.json
		if len(parts) != 5 || parts[2] != "attempts" {
			continue
		}
		n, err := strconv.Atoi(parts[3])
		switch {
		case err != nil:
		case parts[4] == "claim.json":
			newest = max(newest, n)
		case parts[4] == "end.json":
			ended[n] = true
		}
	}
	if newest == 0 || ended[newest] {
		return nil
	}
	var segments []string
	for _, entry := range entries {
		if log, _, ok := eventlog.Parse(path.Base(entry.Path)); ok && log == strconv.Itoa(newest) && isLog(entry.Path) {
			segments = append(segments, entry.Path)
		}
	}
	slices.SortFunc(segments, func(a, b string) int { return cmp.Compare(segmentOf(a), segmentOf(b)) })
	return segments[max(0, len(segments)-2):]
}

// walk visits what is here of a run, and says what of it is listed, of an unfinished file whether the whole one is. each may
// remove what is not.
func (m *mirror) walk(id string, entries []backend.Entry, each func(name string, found fs.DirEntry, listed bool) error) error {
	there := map[string]bool{}
	bases := map[string][]string{}
	for _, entry := range entries {
		for name := entry.Path; name != "." && !there[name]; name = path.Dir(name) {
			there[name] = true
			bases[path.Dir(name)] = append(bases[path.Dir(name)], path.Base(name))
		}
	}
	return filepath.WalkDir(filepath.Join(m.dir, "runs", id), func(name string, found fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		relative := m.there(name)
		listed := there[relative]
		if partial.Is(relative) {
			listed = slices.ContainsFunc(bases[path.Dir(relative)], func(base string) bool {
				return len(partial.Outdated([]string{path.Base(relative)}, base)) > 0
			})
		}
		return each(name, found, listed)
	})
}

// there is the path on the volume of a file that is here.
func (m *mirror) there(name string) string {
	relative, err := filepath.Rel(m.dir, name)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(relative)
}

// prune removes what the volume does not have any more. The caller has the lock of the run's records.
func (m *mirror) prune(id string, entries []backend.Entry) error {
	if len(entries) == 0 { // nor the run; whoever waits for a lock makes another
		return errors.Join(
			os.RemoveAll(filepath.Join(m.dir, "runs", id)),
			removeFile(filepath.Join(m.dir, eventLocks, id)),
			removeFile(filepath.Join(m.dir, recordLocks, id)),
		)
	}
	return m.walk(id, entries, func(name string, found fs.DirEntry, listed bool) error {
		switch {
		case listed:
			return nil
		case !found.IsDir():
			return removeFile(name)
		default:
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			return fs.SkipDir
		}
	})
}

func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Directories of locks, each a file with the name of a run.
const (
	recordLocks = "locks/records"
	eventLocks  = "locks/events"
)

// lock keeps other commands from writing what is here of a run until release.
func (m *mirror) lock(ctx context.Context, locks, id string) (release func(), err error) {
	if err := run.CheckID(id); err != nil {
		return nil, err
	}
	patience := lockTime
	if locks != recordLocks {
		patience = 0
	}
	release, err = hold(ctx, filepath.Join(m.dir, filepath.FromSlash(locks), id), patience, signEvery)
	if errors.Is(err, errHeld) {
		return nil, exit.Errorf(exit.StillRunning, "%w: run %s in %s", err, id, m.dir).
			Hint("If it was stopped, by Ctrl-Z, say, have it go on, or end it.")
	}
	return release, err
}
