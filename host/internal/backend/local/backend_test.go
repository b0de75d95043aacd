package local_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/backendtest"
	"github.com/mtt-project/mtt/host/internal/backend/local"
	"github.com/mtt-project/mtt/host/internal/run"
)

var programs backendtest.Programs

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("/tmp", "mb")
	if err == nil {
		programs, err = backendtest.Build(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func TestBackend(t *testing.T) {
	backendtest.RunBackend(t, programs, func(t *testing.T) backendtest.Site { return site{t.TempDir()} })
}

// site is a directory.
type site struct{ dir string }

func (s site) Open(t *testing.T) backend.Backend {
	on, err := local.OpenRuns(s.dir, programs.Host)
	if err != nil {
		t.Fatal(err)
	}
	return on
}

func (s site) Bin() (string, error) {
	registry, err := run.Open(s.dir)
	if err != nil {
		return "", err
	}
	return registry.PrepareBin()
}

func (site) Options(*run.Options) error             { return nil }
func (site) Ready(context.Context, *run.Spec) error { return nil }
func (s site) Volume(t *testing.T) backend.Volume {
	volume, err := local.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { volume.Close() })
	return volume
}

// Kill ends the supervisor, which is the worker too; the kernel then ends the plugin.
func (s site) Kill(t *testing.T, r *run.Run) bool {
	attempts, err := r.Attempts()
	if err != nil {
		t.Fatal(err)
	}
	pid := attempts[len(attempts)-1].Claim.PID
	if exe, err := os.Readlink(filepath.Join("/proc", fmt.Sprint(pid), "exe")); err != nil || exe != programs.Host {
		t.Fatalf("process %d is %s, %v: not the supervisor", pid, exe, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for live := true; live; time.Sleep(10 * time.Millisecond) {
		if live, err = r.Live(); err != nil {
			t.Fatal(err)
		}
	}
	return false
}
