package dirstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/checkpoint/storetest"
)

var blobs = map[string][]byte{"empty": {}, "large": make([]byte, 3<<20), "small": []byte("small")}

// everyFault calls test for the n-th call on the file system, for every n until test makes fewer calls than that. Each
// call fails once, or together with all that follow.
func everyFault(t *testing.T, test func(*testing.T, *faultyFS)) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v,forever=%v", errno, forever), func(t *testing.T) {
				t.Parallel()
				for n, done := 1, false; !done; n++ {
					t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
						f := &faultyFS{failAt: n, forever: forever, errno: errno}
						defer func() { done = f.failed == "" }()
						test(t, f)
					})
				}
			})
		}
	}
}

func TestFailedCallFailsTheSaveAndSparesEarlierCheckpoints(t *testing.T) {
	everyFault(t, func(t *testing.T, f *faultyFS) {
		dir := filepath.Join(t.TempDir(), "checkpoints", "run")
		if f.failAt > 4 { // The calls before make the directory.
			save(t, dir, 1)
		}
		before := ids(t, dir)

		volume := filepath.Dir(filepath.Dir(dir))
		store := dirstore.New(dir, dirstore.Options{FS: f, Sync: func(context.Context) error { return f.call("volume", volume) }})
		m, err := storetest.Save(t.Context(), store, storetest.Header(2), blobs)
		switch {
		case f.failed == "" && err != nil:
			t.Fatal(err)
		case f.failed != "" && err == nil:
			t.Fatalf("the save succeeded, although %q failed", f.calls[f.failAt-1])
		case f.failed != "" && (!errors.Is(err, f.errno) || !strings.Contains(err.Error(), f.failed)):
			t.Errorf("the error does not say %q and %q: %v", f.errno, f.failed, err)
		}

		after := ids(t, dir) // Which fails if one of them is bad.
		renamed := slices.Contains(f.calls[:max(0, f.failAt-1)], "rename "+checkpoint.ManifestName)
		if want := len(before); len(after) != want && !(len(after) == want+1 && (renamed || m != nil)) {
			t.Errorf("before: %v\nafter:  %v", before, after)
		}
		if !slices.Equal(before, after[len(after)-len(before):]) {
			t.Errorf("before: %v\nafter:  %v", before, after)
		}
		next := dirstore.New(dir, dirstore.Options{})
		if _, err := next.Collect(t.Context()); err != nil {
			t.Error(err)
		}
		if id := save(t, dir, 3); id != ids(t, dir)[0] {
			t.Errorf("a later save is not the newest: %s", id)
		}
	})
}

func TestFailedRemovalLeavesAWholeCheckpointOrNone(t *testing.T) {
	everyFault(t, func(t *testing.T, f *faultyFS) {
		dir := filepath.Join(t.TempDir(), "checkpoints", "run")
		old, kept := save(t, dir, 1), save(t, dir, 2)
		store := dirstore.New(dir, dirstore.Options{FS: f})
		if err := store.Remove(t.Context(), old); (err != nil) != (f.failed != "") {
			t.Errorf("failed: %q, error: %v", f.failed, err)
		}
		if left := ids(t, dir); !slices.Contains(left, kept) {
			t.Errorf("left: %v", left)
		}
		if err := dirstore.New(dir, dirstore.Options{}).Remove(t.Context(), old); err != nil {
			t.Error(err)
		}
		if left := ids(t, dir); !slices.Equal(left, []string{kept}) {
			t.Errorf("left: %v", left)
		}
	})
}

func TestBadSectorIsCorruptionAndAFailingSystemIsNot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints", "run")
	id := save(t, dir, 1)
	for errno, want := range map[syscall.Errno]bool{syscall.EIO: true, syscall.EACCES: false, syscall.EMFILE: false, syscall.ESTALE: false} {
		for _, file := range []string{checkpoint.ManifestName, "small"} {
			_, err := dirstore.New(dir, dirstore.Options{FS: unreadable{file: file, errno: errno}}).Verify(t.Context(), id)
			_, corrupt := errors.AsType[*checkpoint.CorruptError](err)
			if corrupt != want || !errors.Is(err, errno) {
				t.Errorf("%v in %s: %v", errno, file, err)
			}
		}
	}
}

// unreadable fails to read one file.
type unreadable struct {
	dirstore.OS
	file  string
	errno syscall.Errno
}

func (u unreadable) Open(name string) (io.ReadCloser, error) {
	f, err := u.OS.Open(name)
	if err != nil || filepath.Base(name) != u.file {
		return f, err
	}
	return struct {
		io.Reader
		io.Closer
	}{failingReader{&os.PathError{Op: "read", Path: name, Err: u.errno}}, f}, nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// save writes a good checkpoint and returns its id.
func save(t *testing.T, dir string, step uint64) string {
	t.Helper()
	m, err := storetest.Save(t.Context(), dirstore.New(dir, dirstore.Options{}), storetest.Header(step), blobs)
	if err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// ids lists dir and fails the test unless each checkpoint in it is whole.
func ids(t *testing.T, dir string) []string {
	t.Helper()
	store := dirstore.New(dir, dirstore.Options{})
	entries, err := checkpoint.Entries(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for e := range entries {
		if _, err := store.Verify(t.Context(), e.ID); err != nil {
			t.Error(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}
