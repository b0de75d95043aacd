package modalfake_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"
)

// samples are files in which a block, a range or a zero byte too many or too few shows.
func samples() map[string][]byte {
	random := make([]byte, 2*volume.BlockSize+4711)
	chacha := rand.NewChaCha8([32]byte{1})
	_, _ = chacha.Read(random)
	holes := slices.Clone(random)
	clear(holes[volume.BlockSize-3 : 2*volume.BlockSize+3]) // a block of nothing but zeros, and ends of its neighbours
	return map[string][]byte{
		"empty":          {},
		"line.txt":       []byte("hello\n"),
		"zeros":          make([]byte, 3000),
		"zeros-at-end":   append([]byte("a"), make([]byte, volume.BlockSize)...),
		"one-block":      random[:volume.BlockSize],
		"one-byte-more":  random[:volume.BlockSize+1],
		"three-blocks":   random,
		"holes":          holes,
		"deep/down/here": []byte("\x00\xff\x00"),
		"name with ünï":  []byte("x"),
	}
}

func writeAll(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compare fails for each file that is not in dir as it should be, and for each that should not be there.
func compare(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d; the first that differs is %d", name, len(got), len(want), differs(got, want))
		}
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if _, ok := files[filepath.ToSlash(name)]; !ok {
			t.Errorf("there is a file %s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestModalsCommandLineMovesFilesByteForByte(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			f := faketest.Start(t)
			dir := t.TempDir()
			files := samples()
			writeAll(t, filepath.Join(dir, "in"), files)

			f.MustModal(t, "volume", "create", "vol", "--version", version)
			if r := f.Modal(t, "volume", "create", "vol"); r.Code == 0 {
				t.Errorf("a volume is made twice: %s", r)
			}
			f.MustModal(t, "volume", "put", "vol", filepath.Join(dir, "in"), "/data")
			f.MustModal(t, "volume", "get", "vol", "/data", dir)
			compare(t, filepath.Join(dir, "data"), files)

			got := strings.Split(strings.TrimSpace(f.MustModal(t, "volume", "ls", "vol", "data")), "\n")
			slices.Sort(got)
			want := []string{"data/deep", "data/empty", "data/holes", "data/line.txt", "data/name with ünï", "data/one-block", "data/one-byte-more", "data/three-blocks", "data/zeros", "data/zeros-at-end"}
			if !slices.Equal(got, want) {
				t.Errorf("ls prints %q, want %q", got, want)
			}
			var listed []struct {
				Filename string
				Type     string
				Size     int
			}
			if err := json.Unmarshal([]byte(f.MustModal(t, "volume", "ls", "vol", "data/holes", "--json")), &listed); err != nil {
				t.Fatal(err)
			}
			if len(listed) != 1 || listed[0].Filename != "data/holes" || listed[0].Type != "file" || listed[0].Size != len(files["holes"]) {
				t.Errorf("ls of a file says %+v, want its size %d", listed, len(files["holes"]))
			}

			line := filepath.Join(dir, "in", "line.txt")
			if r := f.Modal(t, "volume", "put", "vol", line, "/data/holes"); r.Code == 0 || !strings.Contains(r.Stderr, "exists") {
				t.Errorf("a file is put over another: %s", r)
			}
			f.MustModal(t, "volume", "put", "--force", "vol", line, "/data/holes")
			if got := f.MustModal(t, "volume", "get", "vol", "/data/holes", "-"); !strings.HasPrefix(got, "hello\n") {
				t.Errorf("the file that was put over another has %q", got)
			}

			if r := f.Modal(t, "volume", "rm", "vol", "data"); r.Code == 0 {
				t.Errorf("a directory is removed as if it were a file: %s", r)
			}
			f.MustModal(t, "volume", "rm", "vol", "data/holes")
			if r := f.Modal(t, "volume", "get", "vol", "data/holes", filepath.Join(dir, "gone")); r.Code == 0 {
				t.Errorf("a file that was removed can be had: %s", r)
			}
			f.MustModal(t, "volume", "rm", "-r", "vol", "data")
			if got := f.MustModal(t, "volume", "ls", "vol"); got != "" {
				t.Errorf("all was removed, and ls prints %q", got)
			}
			f.MustModal(t, "volume", "delete", "--yes", "vol")
			if r := f.Modal(t, "volume", "ls", "vol"); r.Code == 0 {
				t.Errorf("a deleted volume is there: %s", r)
			}
		})
	}
}

func TestModalsCommandLineCopiesAndRenames(t *testing.T) {
	f := faketest.Start(t)
	dir := t.TempDir()
	writeAll(t, dir, map[string][]byte{"a/b": []byte("b")})
	f.MustModal(t, "volume", "create", "vol", "--version", "2")
	f.MustModal(t, "volume", "put", "vol", filepath.Join(dir, "a"), "/a")
	f.MustModal(t, "volume", "cp", "-r", "vol", "a", "c")
	f.MustModal(t, "volume", "rename", "--yes", "vol", "other")
	if got := f.MustModal(t, "volume", "get", "other", "c/b", "-"); !strings.HasPrefix(got, "b") {
		t.Errorf("the copy has %q", got)
	}
	var volumes []struct{ Name string }
	if err := json.Unmarshal([]byte(f.MustModal(t, "volume", "list", "--json")), &volumes); err != nil {
		t.Fatal(err)
	}
	if len(volumes) != 1 || volumes[0].Name != "other" {
		t.Errorf("the volumes are %+v", volumes)
	}
}
