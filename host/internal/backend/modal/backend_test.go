package modal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/backendtest"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/digest"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
	"github.com/mtt-project/mtt/host/internal/run"
)

func TestBackend(t *testing.T) {
	programs, err := backendtest.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fake := faketest.Start(t)
	for _, variable := range append(fake.Environ(t), "XDG_CACHE_HOME="+t.TempDir()) { // t.Setenv is not for parallel tests
		name, value, _ := strings.Cut(variable, "=")
		os.Setenv(name, value)
		t.Cleanup(func() { os.Unsetenv(name) })
	}
	bin := t.TempDir()
	var sites atomic.Int64
	t.Run("Suite", func(t *testing.T) {
		backendtest.RunBackend(t, programs, func(t *testing.T) backendtest.Site {
			return site{fake: fake, host: programs.Host, bin: bin, volume: fmt.Sprintf("outputs-%d", sites.Add(1))}
		})
	})
}

// site is a volume of its own.
type site struct {
	fake              *faketest.Fake
	host, bin, volume string
}

func (s site) open(t *testing.T) *modal.Backend {
	on, err := modal.Open(t.Context(), modal.Options{Volume: s.volume, Create: modal.AppAndVolume})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { on.Close() })
	return on
}

func (s site) Open(t *testing.T) backend.Backend { return s.open(t) }

func (s site) Bin() (string, error) { return s.bin, nil }

func (s site) Options(o *run.Options) error {
	if o.Modal != nil {
		return nil
	}
	sum, err := digest.File(s.host)
	if err != nil {
		return err
	}
	on, err := modal.Open(context.Background(), modal.Options{Volume: s.volume, Create: modal.AppAndVolume})
	if err != nil {
		return err
	}
	defer on.Close()
	m := run.DefaultModal()
	m.Volume, m.VolumeID, m.HostSHA256 = s.volume, on.VolumeID(), sum
	o.Modal = &m
	return nil
}

func (s site) Ready(ctx context.Context, spec *run.Spec) error {
	on, err := modal.Open(ctx, modal.Options{Volume: s.volume})
	if err != nil {
		return err
	}
	defer on.Close()
	uploads := []modal.Upload{
		{SHA256: spec.Options.Modal.HostSHA256, Path: s.host},
		{SHA256: spec.Plugin.SHA256, Path: filepath.Join(s.bin, spec.Plugin.SHA256)},
	}
	for i := range uploads {
		info, err := os.Stat(uploads[i].Path)
		if err != nil {
			return err
		}
		uploads[i].Size = info.Size()
	}
	return on.Send(ctx, uploads, nil)
}

func (s site) Volume(t *testing.T) backend.Volume {
	volume, err := modal.OpenVolume(t.Context(), modal.Options{Volume: s.volume})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { volume.Close() })
	return volume
}

// Kill preempts the worker's Sandbox. The supervisor starts another.
func (s site) Kill(t *testing.T, r *run.Run) bool {
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	attempts, err := r.Attempts()
	if err != nil {
		t.Fatal(err)
	}
	s.fake.Tell(t, "preempt", attempts[len(attempts)-1].Sandbox.SandboxID)
	return true
}
