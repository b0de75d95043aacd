package storetest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// subject is the store under test, its clock and its files.
type subject struct {
	checkpoint.Store
	dir    string
	now    time.Time
	reopen func() checkpoint.Store
}

func newSubject(t *testing.T, open Open) *subject {
	s := &subject{dir: filepath.Join(t.TempDir(), "checkpoints", "quiet-fox"), now: time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)}
	s.reopen = func() checkpoint.Store { return open(t, s.dir, func() time.Time { return s.now }) }
	s.Store = s.reopen()
	return s
}

func (s *subject) path(id, file string) string { return filepath.Join(s.dir, id, file) }

// save writes a checkpoint and fails the test if it cannot.
func (s *subject) save(t *testing.T, step uint64, blobs map[string][]byte) *checkpoint.Manifest {
	t.Helper()
	m, err := Save(t.Context(), s, Header(step), blobs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ids returns the checkpoints of the store, through a second one on the same files.
func (s *subject) ids(t *testing.T) []string {
	t.Helper()
	entries, err := checkpoint.Entries(t.Context(), s.reopen())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for e := range entries {
		if e.Err != nil {
			t.Fatalf("%s: %v", e.ID, e.Err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// wantWhole fails unless the checkpoint can be read back.
func (s *subject) wantWhole(t *testing.T, id string) {
	t.Helper()
	if _, err := s.reopen().Verify(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// wantCorrupt fails unless Verify blames this file of the checkpoint.
func (s *subject) wantCorrupt(t *testing.T, id, file string) {
	t.Helper()
	_, err := s.Verify(t.Context(), id)
	blames(t, err, id, file)
}

// wantUnreadable fails unless Verify and Open both blame this blob of the checkpoint.
func (s *subject) wantUnreadable(t *testing.T, id, blob string) {
	t.Helper()
	s.wantCorrupt(t, id, blob)
	r, err := s.Open(t.Context(), id, blob)
	if err == nil {
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
	}
	blames(t, err, id, blob)
}

func blames(t *testing.T, err error, id, file string) {
	t.Helper()
	corrupt, ok := errors.AsType[*checkpoint.CorruptError](err)
	if !ok || corrupt.ID != id || corrupt.File != file {
		t.Fatalf("the error is %v, and should be a CorruptError of %s in %s", err, file, id)
	}
}

func read(t *testing.T, s checkpoint.Store, id, blob string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), id, blob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// damage replaces a file by what change makes of its content, and returns how to mend it.
func damage(t *testing.T, file string, change func([]byte) []byte) (mend func()) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(change(bytes.Clone(content)))
	return func() { write(content) }
}

func flip(offset int, bits byte) func([]byte) []byte {
	return func(content []byte) []byte {
		content[offset] ^= bits
		return content
	}
}
