package storetest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

func testFlippedManifest(t *testing.T, s *subject) {
	m := s.save(t, 1, map[string][]byte{"x": {1}, "y": {}})
	file := s.path(m.ID, checkpoint.ManifestName)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for offset := range content {
		// 0x20 turns a letter's case, which JSON decoders may overlook.
		for _, bits := range []byte{0x01, 0x20, 0xff} {
			mend := damage(t, file, flip(offset, bits))
			s.wantCorrupt(t, m.ID, checkpoint.ManifestName)
			mend()
		}
	}
	for length := range content {
		mend := damage(t, file, func(content []byte) []byte { return content[:length] })
		s.wantCorrupt(t, m.ID, checkpoint.ManifestName)
		mend()
	}
	s.wantWhole(t, m.ID)

	for _, tail := range []string{"\n", "{}", "\x00"} {
		mend := damage(t, file, func(content []byte) []byte { return append(content, tail...) })
		s.wantCorrupt(t, m.ID, checkpoint.ManifestName)
		mend()
	}

	damage(t, file, flip(len(content)/2, 1))
	listed, err := checkpoint.Entries(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	entries := slices.Collect(listed)
	if len(entries) != 1 || entries[0].Manifest != nil || entries[0].Step != 1 {
		t.Fatalf("listed %+v, %v", entries, err)
	}
	blames(t, entries[0].Err, m.ID, checkpoint.ManifestName)
	if removed, err := s.Collect(t.Context()); err != nil || len(removed) != 0 {
		t.Errorf("Collect removed %v, which is corrupt and not rubbish: %v", removed, err)
	}
}

func testForeignManifest(t *testing.T, s *subject) {
	a, b := s.save(t, 1, nil), s.save(t, 1, nil)
	content, err := os.ReadFile(s.path(a.ID, checkpoint.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	damage(t, s.path(b.ID, checkpoint.ManifestName), func([]byte) []byte { return content })
	s.wantWhole(t, a.ID)
	s.wantCorrupt(t, b.ID, checkpoint.ManifestName)
}

func testFlippedBlob(t *testing.T, s *subject) {
	blobs := map[string][]byte{"small": noise(40), "large": noise(1<<20 + 7)}
	m := s.save(t, 1, blobs)
	for name, content := range blobs {
		for offset := 0; offset < len(content); offset += max(1, len(content)/50) {
			for _, offset := range []int{offset, len(content) - 1 - offset} {
				mend := damage(t, s.path(m.ID, name), flip(offset, 1<<(offset%8)))
				s.wantUnreadable(t, m.ID, name)
				mend()
			}
		}
	}
	s.wantWhole(t, m.ID)
}

func testResizedBlob(t *testing.T, s *subject) {
	m := s.save(t, 1, map[string][]byte{"empty": {}, "x": noise(100)})
	for _, length := range []int{0, 1, 99} {
		mend := damage(t, s.path(m.ID, "x"), func(content []byte) []byte { return content[:length] })
		s.wantUnreadable(t, m.ID, "x")
		mend()
	}
	for _, name := range []string{"empty", "x"} {
		mend := damage(t, s.path(m.ID, name), func(content []byte) []byte { return append(content, 0) })
		s.wantUnreadable(t, m.ID, name)
		mend()
	}
	s.wantWhole(t, m.ID)
}

func testMissingBlob(t *testing.T, s *subject) {
	m := s.save(t, 1, map[string][]byte{"empty": {}, "x": noise(100)})
	if err := os.Remove(s.path(m.ID, "empty")); err != nil {
		t.Fatal(err)
	}
	s.wantUnreadable(t, m.ID, "empty")
}

func testExtraFile(t *testing.T, s *subject) {
	m := s.save(t, 1, map[string][]byte{"x": noise(100)})
	for _, name := range []string{"y", ".hidden", checkpoint.ManifestName + ".tmp", "directory"} {
		file := s.path(m.ID, name)
		if name == "directory" {
			if err := os.Mkdir(file, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s.wantCorrupt(t, m.ID, name)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s.wantWhole(t, m.ID)
}

func testRemove(t *testing.T, s *subject) {
	a, b, c := s.save(t, 1, map[string][]byte{"x": noise(10)}), s.save(t, 2, nil), s.save(t, 3, nil)
	damage(t, s.path(c.ID, checkpoint.ManifestName), func([]byte) []byte { return nil })
	for range 2 {
		for _, m := range []*checkpoint.Manifest{a, c} { // A good one and a corrupt one.
			if err := s.Remove(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if ids := s.ids(t); !slices.Equal(ids, []string{b.ID}) {
		t.Errorf("listed %v", ids)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func testCollect(t *testing.T, s *subject) {
	kept := s.save(t, 1, map[string][]byte{"x": noise(10)})
	half := s.save(t, 2, map[string][]byte{"x": noise(10)})
	if err := os.Remove(s.path(half.ID, checkpoint.ManifestName)); err != nil { // As a removal that was cut short.
		t.Fatal(err)
	}
	foreign := filepath.Join(s.dir, "notes")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Collect(t.Context())
	if err != nil || !slices.Equal(removed, []string{half.ID}) {
		t.Errorf("Collect removed %v and returned %v", removed, err)
	}
	s.wantWhole(t, kept.ID)
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

func testNotFound(t *testing.T, s *subject) {
	m := s.save(t, 1, map[string][]byte{"x": noise(10)})
	absent := strings.Replace(m.ID, "1-", "2-", 1)
	for _, id := range []string{"", "..", "../..", m.ID + "/", strings.ToLower(m.ID), absent} {
		if _, err := s.Verify(t.Context(), id); !isNotFound(err) {
			t.Errorf("Verify %q: %v", id, err)
		}
		if _, err := s.Open(t.Context(), id, "x"); !isNotFound(err) {
			t.Errorf("Open %q: %v", id, err)
		}
		if err := s.Remove(t.Context(), id); err != nil && !isNotFound(err) {
			t.Errorf("Remove %q: %v", id, err)
		}
	}
	for _, blob := range []string{"", "y", checkpoint.ManifestName, "../" + m.ID + "/x"} {
		if _, err := s.Open(t.Context(), m.ID, blob); !isNotFound(err) {
			t.Errorf("Open blob %q: %v", blob, err)
		}
	}
	s.wantWhole(t, m.ID)
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*checkpoint.NotFoundError](err)
	return ok
}
