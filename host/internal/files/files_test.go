package files

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

// contents returns the content of each file below dir, "/" for a directory and "-> TO" for a link.
func contents(t *testing.T, dir string) map[string]string {
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
		if entry.Type() == fs.ModeSymlink {
			to, err := os.Readlink(path)
			found[relative] = "-> " + to
			return err
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

func TestOutputFilesAreKeptAsTheExperimentHasThem(t *testing.T) {
	output, kept := t.TempDir(), t.TempDir()
	k, err := Fill(t.Context(), kept, output)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(output, name) }
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.RemoveAll(at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		want map[string]string
	}{
		{"new files", func() { write(t, at("a"), "1"); write(t, at("d/e/f"), "2") },
			map[string]string{"a": "1", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a file that changes", func() { write(t, at("a"), "longer") },
			map[string]string{"a": "longer", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a file that changes within a tick of the clock, and keeps its size", func() { write(t, at("a"), "LONGER") },
			map[string]string{"a": "LONGER", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a file that becomes a directory", func() { remove("a"); write(t, at("a/b"), "3") },
			map[string]string{"a": "/", "a/b": "3", "d": "/", "d/e": "/", "d/e/f": "2"}},
		{"a directory that becomes a file", func() { remove("d"); write(t, at("d"), "4") },
			map[string]string{"a": "/", "a/b": "3", "d": "4"}},
		{"links that stay inside", func() { link("d", "latest"); link("../d", "a/up"); link("a", "dir"); link("none", "dangling") },
			map[string]string{"a": "/", "a/b": "3", "d": "4", "latest": "-> d", "a/up": "-> ../d", "dir": "-> a", "dangling": "-> none"}},
		{"a link that leads to another file", func() { remove("latest"); link("a/b", "latest") },
			map[string]string{"a": "/", "a/b": "3", "d": "4", "latest": "-> a/b", "a/up": "-> ../d", "dir": "-> a", "dangling": "-> none"}},
		{"a link that becomes a directory, and a directory that becomes a link", func() { remove("dir"); write(t, at("dir/x"), "5"); remove("a"); link("dir", "a") },
			map[string]string{"a": "-> dir", "d": "4", "latest": "-> a/b", "dir": "/", "dir/x": "5", "dangling": "-> none"}},
		{"what is removed", func() { remove("dir"); remove("a"); remove("latest"); remove("dangling") },
			map[string]string{"d": "4"}},
		{"a file of another user of the volume stays", func() { write(t, filepath.Join(kept, "theirs"), "6") },
			map[string]string{"d": "4", "theirs": "6"}},
	} {
		step.do()
		if passed, err := k.Keep(t.Context()); err != nil || len(passed) > 0 {
			t.Fatalf("%s: %v, passed %v", step.what, err, passed)
		}
		if got := contents(t, kept); !maps.Equal(got, step.want) {
			t.Errorf("%s: kept %v, want %v", step.what, got, step.want)
		}
		again := t.TempDir()
		if _, err := Fill(t.Context(), kept, again); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if got := contents(t, again); !maps.Equal(got, step.want) {
			t.Errorf("%s: the next attempt has %v, want %v", step.what, got, step.want)
		}
	}
}

// What cannot be kept is named, and neither loses what is kept already nor keeps the rest from it.
func TestWhatCannotBeKeptIsNamed(t *testing.T) {
	output, kept, outside := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "f"), "outside")
	k, err := Fill(t.Context(), kept, output)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"absolute": outside, "up": "../" + filepath.Base(outside), "d/up": "../../x"} {
		write(t, filepath.Join(output, "d"), "/")
		if err := os.Symlink(to, filepath.Join(output, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(output, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(output, "caf\xe9"), "x")
	write(t, filepath.Join(output, ".mtt-partial-own"), "x")
	write(t, filepath.Join(output, "good"), "x")
	passed, err := k.Keep(t.Context())
	if err != nil || len(passed) != 6 {
		t.Errorf("%v, passed %q", err, passed)
	}
	if got := contents(t, kept); !maps.Equal(got, map[string]string{"good": "x", "d": "/"}) {
		t.Errorf("kept %v", got)
	}

	// A file that becomes a pipe is not taken for removed, nor is all if the directory itself is gone.
	if err := errors.Join(os.Remove(filepath.Join(output, "good")), syscall.Mkfifo(filepath.Join(output, "good"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Keep(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(output); err != nil {
		t.Fatal(err)
	}
	if passed, err := k.Keep(t.Context()); err != nil || len(passed) != 1 {
		t.Errorf("without the directory: %v, passed %v", err, passed)
	}
	if got := contents(t, kept); !maps.Equal(got, map[string]string{"good": "x", "d": "/"}) {
		t.Errorf("kept %v", got)
	}
}

func TestLinkOutOfWhatIsKeptIsRefused(t *testing.T) {
	kept, elsewhere := t.TempDir(), t.TempDir()
	write(t, filepath.Join(elsewhere, "history"), "much older")
	output := t.TempDir()
	k, err := Fill(t.Context(), kept, output)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(kept, "d")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(output, "d", "history"), "new")
	if _, err := k.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("kept behind a link: %v", err)
	}
	for _, dir := range []string{kept, filepath.Join(kept, "d")} {
		if _, err := Fill(t.Context(), dir, t.TempDir()); err == nil || !strings.Contains(err.Error(), "a link") {
			t.Errorf("filled from %s: %v", dir, err)
		}
	}
	if got := contents(t, elsewhere); !maps.Equal(got, map[string]string{"history": "much older"}) {
		t.Errorf("behind the link is %v", got)
	}
}

func TestUnreadableOutputFileIsPassedOver(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	output, kept := t.TempDir(), t.TempDir()
	k, err := Fill(t.Context(), kept, output)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(output, "a"), "1")
	write(t, filepath.Join(output, "secret"), "2")
	if err := os.Chmod(filepath.Join(output, "secret"), 0); err != nil {
		t.Fatal(err)
	}
	passed, err := k.Keep(t.Context())
	if err != nil || len(passed) != 1 {
		t.Fatalf("%v, passed %v; want one file and no error", err, passed)
	}
	if got := contents(t, kept); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("kept %v", got)
	}
}

// BenchmarkManyFiles is about ten thousand small ones: the first time they are kept, and the next attempt's filling.
func BenchmarkManyFiles(b *testing.B) {
	for range b.N {
		output, kept, next := b.TempDir(), b.TempDir(), b.TempDir()
		k, err := Fill(b.Context(), kept, output)
		if err != nil {
			b.Fatal(err)
		}
		for i := range 10000 {
			if err := os.WriteFile(filepath.Join(output, fmt.Sprintf("sample-%05d", i)), make([]byte, 4096), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		for _, stage := range []struct {
			name string
			do   func() error
		}{
			{"keep", func() error { _, err := k.Keep(b.Context()); return err }},
			{"again", func() error { _, err := k.Keep(b.Context()); return err }},
			{"fill", func() error { _, err := Fill(b.Context(), kept, next); return err }},
		} {
			began := time.Now()
			if err := stage.do(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(began).Seconds(), stage.name+"-s")
		}
	}
}
