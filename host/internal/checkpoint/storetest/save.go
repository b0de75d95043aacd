package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

func testEmpty(t *testing.T, s *subject) {
	if ids := s.ids(t); len(ids) != 0 {
		t.Errorf("it lists %v", ids)
	}
	if removed, err := s.Collect(t.Context()); err != nil || len(removed) != 0 {
		t.Errorf("Collect removed %v and returned %v", removed, err)
	}
}

func testRoundTrip(t *testing.T, s *subject) {
	blobs := map[string][]byte{"empty": {}, "one": {0}, "large.safetensors": noise(3<<20 + 17)}
	for _, name := range []string{"a", "0", "a.b-c_d", strings.Repeat("x", 128)} {
		blobs[name] = []byte(name)
	}
	h := Header(1 << 40)
	h.Attempt, h.Reason = 3, checkpoint.Final
	h.Parent = s.save(t, 7, nil).ID
	h.Result = checkpoint.Metrics{"accuracy": 0.95, "loss": math.Inf(-1)}
	history := checkpoint.History{
		Metrics: checkpoint.Metrics{"train/loss": 0.1, "best": math.Inf(1)},
		Events: checkpoint.Events{
			Place: checkpoint.Place{Attempt: 2, File: "events.out.tfevents.1", Bytes: math.MaxUint64, CRC32C: math.MaxUint32}, LastSteps: map[string]int64{"train/loss": math.MaxInt64},
		},
	}

	w, err := s.Create(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for name, content := range blobs { // In any order.
		if err := writeBlob(w, name, content); err != nil {
			t.Fatal(err)
		}
	}
	saved, err := w.Commit(t.Context(), history)
	if err != nil {
		t.Fatal(err)
	}

	s.Store = s.reopen()
	loaded, err := s.Verify(t.Context(), saved.ID)
	if err != nil {
		t.Fatal(err)
	}
	if saved.ID != w.ID() || !reflect.DeepEqual(saved, loaded) {
		t.Errorf("saved %+v\nloaded %+v", saved, loaded)
	}
	if !reflect.DeepEqual(loaded.Header, h) || !reflect.DeepEqual(loaded.History, history) || len(loaded.Blobs) != len(blobs) {
		t.Errorf("loaded %+v", loaded)
	}
	for name, content := range blobs {
		if !bytes.Equal(read(t, s, saved.ID, name), content) {
			t.Errorf("blob %q has another content", name)
		}
	}
}

func testNoBlobs(t *testing.T, s *subject) {
	m := s.save(t, 0, nil)
	if s.wantWhole(t, m.ID); m.Size() != 0 {
		t.Errorf("its size is %d", m.Size())
	}
}

func testOrder(t *testing.T, s *subject) {
	var want []string
	for _, step := range []uint64{300, 20, 1_000_000_000_000, 5} { // The step says nothing about which is newer.
		s.now = s.now.Add(time.Second)
		want = append(want, s.save(t, step, nil).ID)
	}
	slices.Reverse(want)
	if ids := s.ids(t); !slices.Equal(ids, want) {
		t.Errorf("listed %v\nwant   %v", ids, want)
	}
}

// testListingByName lists checkpoints whose manifest is damaged, or not written yet.
func testListingByName(t *testing.T, s *subject) {
	whole, damaged := s.save(t, 1, nil), s.save(t, 2, nil)
	w, err := s.Create(t.Context(), Header(3))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	damage(t, s.path(damaged.ID, checkpoint.ManifestName), func([]byte) []byte { return nil })
	want := []string{w.ID(), damaged.ID, whole.ID}
	if ids, err := s.reopen().List(t.Context()); err != nil || !slices.Equal(ids, want) {
		t.Errorf("listed %v, %v, want %v", ids, err, want)
	}
	entries, err := checkpoint.Entries(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var looked []string
	for e := range entries {
		looked = append(looked, e.ID)
		if (e.Err != nil) != (e.ID == damaged.ID) || e.Manifest == nil && e.Err == nil {
			t.Errorf("looked at %+v", e)
		}
	}
	if !slices.Equal(looked, want[1:]) {
		t.Errorf("looked at %v, want %v without the one that is not committed", looked, want)
	}
}

func testSameStep(t *testing.T, s *subject) {
	a, b := s.save(t, 5, map[string][]byte{"x": {1}}), s.save(t, 5, map[string][]byte{"x": {2}})
	if ids := s.ids(t); !slices.Equal(ids, []string{b.ID, a.ID}) {
		t.Errorf("listed %v", ids)
	}
	s.wantWhole(t, a.ID)
	s.wantWhole(t, b.ID)
	if a.StateHash == b.StateHash {
		t.Error("two states have one hash")
	}
}

func testClock(t *testing.T, s *subject) {
	var want []string
	for _, step := range []time.Duration{0, -time.Second, 0, -100 * 365 * 24 * time.Hour, time.Millisecond} {
		s.now = s.now.Add(step)
		s.Store = s.reopen()
		want = append(want, s.save(t, 1, nil).ID)
	}
	slices.Reverse(want)
	if ids := s.ids(t); !slices.Equal(ids, want) {
		t.Errorf("listed %v\nwant   %v", ids, want)
	}
}

func testNoCommit(t *testing.T, s *subject) {
	w, err := s.Create(t.Context(), Header(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeBlob(w, "x", noise(100)); err != nil {
		t.Fatal(err)
	}
	if ids := s.ids(t); len(ids) != 0 {
		t.Errorf("listed %v", ids)
	}
	next := s.reopen()
	if _, err := next.Verify(t.Context(), w.ID()); !isNotFound(err) {
		t.Errorf("Verify: %v", err)
	}
	if removed, err := next.Collect(t.Context()); err != nil || !slices.Equal(removed, []string{w.ID()}) {
		t.Errorf("Collect removed %v and returned %v", removed, err)
	}
	if _, err := os.Stat(s.path(w.ID(), "")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

func testAbort(t *testing.T, s *subject) {
	earlier := s.save(t, 1, map[string][]byte{"x": noise(10)})
	w, err := s.Create(t.Context(), Header(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Blob("x"); err != nil { // Left open.
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(t.Context(), checkpoint.History{}); err == nil {
		t.Error("Commit after Abort succeeded")
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	s.wantWhole(t, earlier.ID)
}

func testAbortAfterCommit(t *testing.T, s *subject) {
	w, err := s.Create(t.Context(), Header(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), checkpoint.History{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := w.Commit(t.Context(), checkpoint.History{}); err == nil {
		t.Error("a second Commit succeeded")
	}
	s.wantWhole(t, w.ID())
}

func testBlobNames(t *testing.T, s *subject) {
	for _, name := range []string{"", ".", "..", "a/b", "../a", "A", ".hidden", "-a", "_a", "a b", "ä", "a\n", "a\x00",
		checkpoint.ManifestName, "manifest.json", "manifest.json.tmp", strings.Repeat("x", 129)} {
		w, err := s.Create(t.Context(), Header(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Blob(name); err == nil {
			t.Errorf("%q was not refused", name)
		}
		if _, err := w.Commit(t.Context(), checkpoint.History{}); err == nil {
			t.Errorf("Commit without the refused %q succeeded", name)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	}
}

func testOverlap(t *testing.T, s *subject) {
	for name, use := range map[string]func(checkpoint.Writer) error{
		"two at a time": func(w checkpoint.Writer) error {
			_, err := w.Blob("y")
			return err
		},
		"commit before the end": func(w checkpoint.Writer) error {
			_, err := w.Commit(t.Context(), checkpoint.History{})
			return err
		},
		"twice": func(w checkpoint.Writer) error { return writeBlob(w, "x", nil) },
	} {
		w, err := s.Create(t.Context(), Header(1))
		if err != nil {
			t.Fatal(err)
		}
		x, err := w.Blob("x")
		if err != nil {
			t.Fatal(err)
		}
		if name == "twice" {
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := use(w); err == nil {
			t.Errorf("%s: not refused", name)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	}
	if ids := s.ids(t); len(ids) != 0 {
		t.Errorf("listed %v", ids)
	}
}

func testHeader(t *testing.T, s *subject) {
	for name, spoil := range map[string]func(*checkpoint.Header){
		"no run":                 func(h *checkpoint.Header) { h.RunID = "" },
		"a prefix that is path":  func(h *checkpoint.Header) { h.Prefix = "../x" },
		"no config":              func(h *checkpoint.Header) { h.Config = nil },
		"a config with spaces":   func(h *checkpoint.Header) { h.Config = []byte(`{ }`) },
		"another config's hash":  func(h *checkpoint.Header) { h.Config = []byte(`{}`) },
		"no plugin":              func(h *checkpoint.Header) { h.PluginSHA256 = "" },
		"attempt 0":              func(h *checkpoint.Header) { h.Attempt = 0 },
		"a parent that is none":  func(h *checkpoint.Header) { h.Parent = "x" },
		"no reason":              func(h *checkpoint.Header) { h.Reason = "" },
		"a result before it end": func(h *checkpoint.Header) { h.Result = checkpoint.Metrics{"loss": 1} },
	} {
		h := Header(1)
		spoil(&h)
		if _, err := s.Create(t.Context(), h); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func testSpace(t *testing.T, s *subject) {
	h := Header(1)
	h.SizeHint = 1 << 60
	if _, err := s.Create(t.Context(), h); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a checkpoint of 1 EiB: %v", err)
	}
	s.save(t, 1, nil)
}

func testCancelled(t *testing.T, s *subject) {
	m := s.save(t, 1, map[string][]byte{"x": noise(10)})
	w, err := s.Create(t.Context(), Header(2))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), m.ID, "x")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Create":   func() error { _, err := s.Create(ctx, Header(3)); return err },
		"List":     func() error { _, err := s.List(ctx); return err },
		"Manifest": func() error { _, err := s.Manifest(ctx, m.ID); return err },
		"Verify":   func() error { _, err := s.Verify(ctx, m.ID); return err },
		"Open":     func() error { _, err := s.Open(ctx, m.ID, "x"); return err },
		"Remove":   func() error { return s.Remove(ctx, m.ID) },
		"Collect":  func() error { _, err := s.Collect(ctx); return err },
		"Commit":   func() error { _, err := w.Commit(ctx, checkpoint.History{}); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if ids := s.ids(t); !slices.Equal(ids, []string{m.ID}) {
		t.Errorf("listed %v", ids)
	}
}

// noise returns n bytes that are the same in every run.
func noise(n int) []byte {
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(content)
	return content
}
