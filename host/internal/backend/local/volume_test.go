package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/backendtest"
	"github.com/mtt-project/mtt/host/internal/backend/local"
)

func open(t *testing.T, dir string) *local.Volume {
	t.Helper()
	volume, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { volume.Close() })
	return volume
}

func TestVolume(t *testing.T) {
	backendtest.RunVolume(t, func(t *testing.T) backend.Volume { return open(t, t.TempDir()) })
}

func TestNothingOutsideIsReachedThroughALink(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(outside, "f"), []byte("x"), 0o644), os.Symlink(outside, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	v := open(t, dir)
	if _, err := v.Stat(t.Context(), "link/f"); err == nil {
		t.Error("a file outside is seen")
	}
	if err := v.Remove(t.Context(), "link/f", true); err == nil {
		t.Error("a file outside is removed")
	}
	if err := v.Put(t.Context(), []backend.Source{backendtest.Source("link/g", []byte("x"))}, backend.PutOptions{}); err == nil {
		t.Error("a file outside is made")
	}
	if err := v.Remove(t.Context(), "link", true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "f")); err != nil {
		t.Error("with the link, what it points to was removed")
	}
}

func TestAVolumeIsADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file: %v", err)
	}
}
