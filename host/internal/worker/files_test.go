package worker

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file, with its directories, or a directory where content is "/".
func write(t *testing.T, path, content string) {
	t.Helper()
	dir := filepath.Dir(path)
	if content == "/" {
		dir = path
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if content == "/" {
		return
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree returns the content of each file below dir, "/" for a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		relative, _ := filepath.Rel(dir, path)
		if entry.IsDir() {
			found[relative] = "/"
			return nil
		}
		content, err := os.ReadFile(path)
		found[relative] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOutputFilesAreKeptWhateverTheyBecome(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, step := range []struct {
		what string
		do   func()
		want map[string]string
	}{
		{"new files", func() {
			write(t, filepath.Join(from, "a"), "1")
			write(t, filepath.Join(from, "d", "e", "f"), "2")
		}, map[string]string{"a": "1", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a file that changes", func() { write(t, filepath.Join(from, "a"), "longer") },
			map[string]string{"a": "longer", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a file that becomes a directory", func() {
			if err := os.Remove(filepath.Join(from, "a")); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(from, "a", "b"), "3")
		}, map[string]string{"a": "/", "a/b": "3", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a directory that becomes a file", func() {
			if err := os.RemoveAll(filepath.Join(from, "d")); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(from, "d"), "4")
		}, map[string]string{"a": "/", "a/b": "3", "d": "4"}},
		{"what is missing stays", func() {
			if err := os.RemoveAll(filepath.Join(from, "a")); err != nil {
				t.Fatal(err)
			}
		}, map[string]string{"a": "/", "a/b": "3", "d": "4"}},
		{"a link is passed over", func() {
			if err := os.Symlink("/etc/hostname", filepath.Join(from, "link")); err != nil {
				t.Fatal(err)
			}
		}, map[string]string{"a": "/", "a/b": "3", "d": "4"}},
	} {
		step.do()
		unreadable, err := copyNew(t.Context(), from, to)
		if err != nil || len(unreadable) > 0 {
			t.Fatalf("%s: %v, unreadable %v", step.what, err, unreadable)
		}
		if got := tree(t, to); !maps.Equal(got, step.want) {
			t.Errorf("%s: kept %v, want %v", step.what, got, step.want)
		}
	}
}

func TestLinkAmongKeptFilesIsRefused(t *testing.T) {
	from, to, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "d", "history"), "new")
	write(t, filepath.Join(elsewhere, "history"), "much older")
	if err := os.Symlink(elsewhere, filepath.Join(to, "d")); err != nil {
		t.Fatal(err)
	}
	if _, err := copyNew(t.Context(), from, to); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("kept behind a link: %v", err)
	}
	if err := refuseLinks(to); err == nil {
		t.Error("a link among what is kept is not seen")
	}
	if got := tree(t, elsewhere); !maps.Equal(got, map[string]string{"history": "much older"}) {
		t.Errorf("behind the link is %v", got)
	}
}

func TestUnreadableOutputFileIsPassedOver(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "a"), "1")
	write(t, filepath.Join(from, "secret"), "2")
	if err := os.Chmod(filepath.Join(from, "secret"), 0); err != nil {
		t.Fatal(err)
	}
	unreadable, err := copyNew(t.Context(), from, to)
	if err != nil || len(unreadable) != 1 {
		t.Fatalf("%v, unreadable %v; want one file and no error", err, unreadable)
	}
	if got := tree(t, to); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("kept %v", got)
	}
}
