package regular

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	pipe, link, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, link), os.WriteFile(file, []byte("text"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link, dir} {
		if _, err := ReadFile(path); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: reading it says %v", path, err)
		}
	}
	for _, path := range []string{pipe, link} {
		if _, err := OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: writing it says %v", path, err)
		}
	}
	if text, err := ReadFile(file); string(text) != "text" || err != nil {
		t.Errorf("read %q: %v", text, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
