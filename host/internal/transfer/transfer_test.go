package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/local"
	"github.com/mtt-project/mtt/host/internal/transfer"
)

// volume is a directory of which some calls are others.
type volume struct {
	backend.Volume
	dir string

	digests bool                    // Compare works
	seconds bool                    // times are whole seconds
	read    func(path string) error // before a file is read; nil for nothing
}

func (v *volume) Compare(ctx context.Context, entry backend.Entry, length int64, content io.ReaderAt) (bool, error) {
	if !v.digests {
		return false, errors.ErrUnsupported
	}
	return backend.CompareRead(ctx, v.Volume, v.exact(entry), length, content, nil)
}

func (v *volume) Read(ctx context.Context, entry backend.Entry, from, length int64, to io.Writer) error {
	if v.read != nil {
		if err := v.read(entry.Path); err != nil {
			return err
		}
	}
	return v.Volume.Read(ctx, v.exact(entry), from, length, to)
}

func (v *volume) List(ctx context.Context, path string, recursive bool) ([]backend.Entry, error) {
	entries, err := v.Volume.List(ctx, path, recursive)
	for i := range entries {
		entries[i] = v.rounded(entries[i])
	}
	return entries, err
}

func (v *volume) Stat(ctx context.Context, path string) (backend.Entry, error) {
	entry, err := v.Volume.Stat(ctx, path)
	return v.rounded(entry), err
}

func (v *volume) rounded(entry backend.Entry) backend.Entry {
	if v.seconds {
		entry.Modified = entry.Modified.Truncate(time.Second)
	}
	return entry
}

// exact is the entry as the directory has it.
func (v *volume) exact(entry backend.Entry) backend.Entry {
	if info, err := os.Stat(filepath.Join(v.dir, entry.Path)); err == nil && v.rounded(backend.Entry{Modified: info.ModTime()}).Modified.Equal(entry.Modified) {
		entry.Modified = info.ModTime()
	}
	return entry
}

// lab is a volume, and a directory that is to have what it has.
type lab struct {
	*testing.T
	volume *volume
	to     string
}

func newLab(t *testing.T) *lab {
	dir := t.TempDir()
	v, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return &lab{t, &volume{Volume: v, dir: dir, digests: true}, t.TempDir()}
}

// write has a file of the volume have a content, since long ago unless that is said.
func (l *lab) write(name, content string, at time.Time) {
	l.Helper()
	path := filepath.Join(l.volume.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, at, at)); err != nil {
		l.Fatal(err)
	}
}

type moved struct{ files, bytes, unchanged int64 }

func (l *lab) sync() (m moved) {
	l.Helper()
	t := &transfer.Transfer{Volume: l.volume}
	if err := t.Sync(l.Context(), "", l.to); err != nil {
		l.Fatal(err)
	}
	m.files, m.bytes, m.unchanged = t.Moved()
	return m
}

// has wants a file here to have a content, and returns what tells it from another of that name.
func (l *lab) has(name, content string) os.FileInfo {
	l.Helper()
	path := filepath.Join(l.to, name)
	got, err := os.ReadFile(path)
	if err != nil {
		l.Fatal(err)
	}
	if string(got) != content {
		l.Errorf("%s has %d bytes, want %d, or others", name, len(got), len(content))
	}
	info, err := os.Stat(path)
	if err != nil {
		l.Fatal(err)
	}
	return info
}

var long = time.Now().Add(-time.Hour).Truncate(time.Second)

// body is longer than what is read again of a file that has grown.
var body = strings.Repeat("0123456789abcdef", 1<<13)

// changed is a content with one other byte.
func changed(content string, at int) string {
	return content[:at] + "X" + content[at+1:]
}

// Where its volume tells digests, every file is continued that was appended to, and no other; where it does not, those
// whose format says so are believed, and the others fetched whole.
func TestAFileIsContinuedThatWasAppendedToAndNoOther(t *testing.T) {
	for name, of := range map[string]struct {
		digests   bool
		file      string
		before    string // what the other content begins with; behind, it is longer
		continued bool
	}{
		"appended":                          {true, "log", body, true},
		"appended, without digests":         {false, "log", body, false},
		"events, without digests":           {false, "events.out.tfevents.1.h.1", body, true},
		"lines, without digests":            {false, "log/1.jsonl", body, true},
		"another beginning":                 {true, "1.jsonl", changed(body, 0), false},
		"another beginning without digests": {false, "1.jsonl", changed(body, 0), false},
		"another middle":                    {true, "1.jsonl", changed(body, len(body)/2), false},
		"another middle without digests":    {false, "log", changed(body, len(body)/2), false},
		"another end":                       {true, "1.jsonl", changed(body, len(body)-1), false},
		"another end without digests":       {false, "1.jsonl", changed(body, len(body)-1), false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.volume.digests = of.digests
			l.write(of.file, body, long)
			l.sync()
			was := l.has(of.file, body)
			now := of.before + "more"
			l.write(of.file, now, long.Add(time.Minute))
			m := l.sync()
			is := l.has(of.file, now)
			if os.SameFile(was, is) != of.continued || (m.bytes < int64(len(now))) != of.continued {
				t.Errorf("continued %v with %+v, want %v", os.SameFile(was, is), m, of.continued)
			}
			if m := l.sync(); m != (moved{unchanged: 1}) {
				t.Errorf("once more moved %+v", m)
			}
		})
	}
}

// What is there with the same content stays the file that others may have open, whatever its time; and is not moved where
// that can be told otherwise.
func TestAFileThatIsThereStays(t *testing.T) {
	for _, digests := range []bool{true, false} {
		l := newLab(t)
		l.volume.digests = digests
		l.write("f", body, long)
		l.sync()
		was := l.has("f", body)
		l.write("f", body, long.Add(time.Minute))
		m := l.sync()
		is := l.has("f", body)
		if !os.SameFile(was, is) || !is.ModTime().Equal(long.Add(time.Minute)) || digests != (m.bytes == 0) {
			t.Errorf("digests %v: the same %v, %s, %+v", digests, os.SameFile(was, is), is.ModTime(), m)
		}
		l.write("f", changed(body, 5), long.Add(2*time.Minute))
		l.sync()
		if is := l.has("f", changed(body, 5)); os.SameFile(was, is) {
			t.Error("a file was written that others may have open")
		}
	}
}

// The times of a volume are whole seconds: within one, a file can be replaced by one of the same size.
func TestAFileReplacedInTheSecondOfItsFetchIsFetchedByTheNextSync(t *testing.T) {
	for _, digests := range []bool{true, false} {
		l := newLab(t)
		l.volume.digests, l.volume.seconds = digests, true
		now := time.Now()
		l.write("f", "first", now)
		l.sync()
		l.has("f", "first")
		l.write("f", "other", now)
		l.sync()
		l.has("f", "other")
	}
}

func TestAFileThatChangesWhileItIsReadIsBegunAnew(t *testing.T) {
	l := newLab(t)
	l.write("f", "first", long)
	times := 0
	l.volume.read = func(path string) error {
		if times++; times == 1 {
			l.write("f", "the second", long.Add(time.Minute))
			return backend.PathError("read", path, backend.ErrChanged)
		}
		return nil
	}
	l.sync()
	l.has("f", "the second")
	// What never holds still is an error, after a while.
	l.write("f", "the third one", long.Add(2*time.Minute))
	l.volume.read = func(path string) error { return backend.PathError("read", path, backend.ErrChanged) }
	err := (&transfer.Transfer{Volume: l.volume}).Sync(t.Context(), "", l.to)
	if !errors.Is(err, backend.ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
	l.has("f", "the second")
}

// What is removed meanwhile is as if it had been removed before, unless it alone was asked for.
func TestAFileThatIsRemovedWhileItIsReadIsLeftOut(t *testing.T) {
	l := newLab(t)
	l.write("gone", "x", long)
	l.write("stays", "y", long)
	l.volume.read = func(path string) error {
		if path != "gone" {
			return nil
		}
		_ = os.Remove(filepath.Join(l.volume.dir, path))
		return backend.PathError("read", path, fs.ErrNotExist)
	}
	if m := l.sync(); m.files != 1 {
		t.Errorf("moved %+v", m)
	}
	l.has("stays", "y")
	l.write("gone", "x", long)
	err := (&transfer.Transfer{Volume: l.volume}).Get(t.Context(), "gone", l.to, false)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
}

// What a killed command has left is gone on with if it is of this content, which its name need not say.
func TestWhatWasLeftOfAFetchIsComparedBeforeItIsGoneOnWith(t *testing.T) {
	l := newLab(t)
	l.volume.seconds = true
	l.write("f", body, long)
	broken := errors.New("broken")
	half := &cut{l.volume, len(body) / 2, broken}
	fetch := func() {
		t.Helper()
		if err := (&transfer.Transfer{Volume: half}).Sync(t.Context(), "", l.to); !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	fetch()
	if m := l.sync(); m.bytes != int64(len(body)/2) {
		t.Errorf("going on moved %+v of %d", m, len(body))
	}
	l.has("f", body)
	if err := os.Remove(filepath.Join(l.to, "f")); err != nil {
		t.Fatal(err)
	}
	fetch()
	l.write("f", changed(body, 7), long)
	l.sync()
	l.has("f", changed(body, 7))
}

// cut is a volume whose reads break off.
type cut struct {
	backend.Volume
	after int
	err   error
}

func (c *cut) Read(ctx context.Context, entry backend.Entry, from, length int64, to io.Writer) error {
	return errors.Join(c.Volume.Read(ctx, entry, from, int64(c.after), to), c.err)
}

// A put moves what the volume does not have, and says what it moved; also for no more than a comparison.
func TestAPutCountsWhatItMoves(t *testing.T) {
	for _, digests := range []bool{true, false} {
		l := newLab(t)
		l.volume.digests = digests
		source := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(source, bytes.Repeat([]byte("x"), 1000), 0o644); err != nil {
			t.Fatal(err)
		}
		for again := range 2 {
			put := &transfer.Transfer{Volume: l.volume}
			if err := put.Put(t.Context(), source, "f", false); err != nil {
				t.Fatal(err)
			}
			files, bytes, unchanged := put.Moved()
			want := moved{1 - int64(again), 1000, int64(again)}
			if again == 1 && digests {
				want.bytes = 0
			}
			if got := (moved{files, bytes, unchanged}); got != want {
				t.Errorf("put %d with digests %v moved %+v, want %+v", again, digests, got, want)
			}
		}
	}
}
