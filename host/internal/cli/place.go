package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/digest"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
)

// place is where a run is to be lived.
type place struct {
	on func() (backend.Backend, error) // opened when it is first called
	// bin makes and returns the directory that executables are kept in before they go to the volume, or on it.
	bin func() (string, error)
	// host is the mtt-host that lives runs on Modal.
	host  func() (modal.Upload, error)
	modal bool
	there modal.Options
}

// place opens where runs are lived; what is missing on Modal is made as create says. On Modal that takes a while, and is done
// beside the preparations.
func (c *common) place(ctx context.Context, create modal.Create) (place, error) {
	if c.backend != onModal {
		on, err := c.open(ctx, create)
		if err != nil {
			return place{}, err
		}
		p := place{on: func() (backend.Backend, error) { return on, nil }, bin: stage}
		if create != modal.Nothing {
			p.bin = on.Registry().PrepareBin
		}
		return p, nil
	}
	if err := c.check(); err != nil {
		return place{}, err
	}
	p := place{
		modal: true, there: c.modal(c.volume, create),
		on:   sync.OnceValues(func() (backend.Backend, error) { return c.open(ctx, create) }),
		bin:  stage,
		host: sync.OnceValues(hostForModal),
	}
	go p.on()   //nolint:errcheck // whoever needs it gets the error
	go p.host() //nolint:errcheck
	return p, nil
}

func (p place) elsewhere() bool { return p.modal }

func (p place) close() {
	if on, err := p.on(); err == nil {
		on.Close()
	}
}

// refreshed returns the backend, in whose registry what is read of a run, or of all for "", is up to date.
func (p place) refreshed(ctx context.Context, id string) (backend.Backend, error) {
	on, err := p.on()
	if err != nil {
		return nil, err
	}
	return on, on.Registry().Refresh(ctx, id)
}

// check looks whether what a run on Modal asks for is there, also where its volume is not yet.
func (p place) check(ctx context.Context, spec *run.Spec, others []run.Secret) error {
	on, err := p.on()
	switch {
	case exit.Of(err) == exit.NotFound:
		return modal.Check(ctx, p.there, spec, others...)
	case err != nil:
		return err
	default:
		return on.(*modal.Backend).Check(ctx, spec, others...)
	}
}

// detach has the run lived by a supervisor.
func (p place) detach(ctx context.Context, view *view, r *run.Run) error {
	on, err := p.on()
	if err != nil {
		return err
	}
	if elsewhere, ok := on.(*modal.Backend); ok {
		if err := p.replaceHost(ctx, view, elsewhere, r); err != nil {
			return err
		}
	}
	if err := p.send(ctx, view, r.Spec); err != nil {
		return err
	}
	return on.Detach(ctx, r)
}

// replaceHost has a run go on under this mtt-host if the one that began it is not to be had any more.
func (p place) replaceHost(ctx context.Context, view *view, on *modal.Backend, r *run.Run) error {
	own := r.Spec.Options.Modal.HostSHA256
	host, err := p.host()
	if err != nil || host.SHA256 == own {
		return err
	}
	bin, err := p.bin()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(bin, own)); err == nil {
		return nil
	}
	missing, err := on.Missing(ctx, []modal.Upload{{SHA256: own}})
	if err != nil || len(missing) == 0 {
		return err
	}
	spec, options := *r.Spec, *r.Spec.Options.Modal
	options.HostSHA256 = host.SHA256
	spec.Options.Modal = &options
	r.Adopt(&spec)
	view.say(fmt.Sprintf("run %s goes on under this mtt-host: the one that began it (%.12s) is not on the volume any more", r.ID, own))
	return nil
}

// executables are what a run on Modal needs on the volume.
func (p place) executables(spec *run.Spec) ([]modal.Upload, error) {
	bin, err := p.bin()
	if err != nil {
		return nil, err
	}
	var uploads []modal.Upload
	for _, sum := range []string{spec.Plugin.SHA256, spec.Options.Modal.HostSHA256} {
		if sum != "" { // as of a plugin that is yet to be built
			uploads = append(uploads, modal.Upload{SHA256: sum, Path: filepath.Join(bin, sum)})
		}
	}
	if host, err := p.host(); err == nil && host.SHA256 == spec.Options.Modal.HostSHA256 {
		uploads[len(uploads)-1] = host
	}
	for i, upload := range uploads {
		if info, err := os.Stat(upload.Path); err == nil {
			uploads[i].Size = info.Size()
		}
	}
	return uploads, nil
}

// send looks whether Modal has what a run asks for, and brings to the volume the executables that it does not have. How
// much that is is said first.
func (p place) send(ctx context.Context, view *view, spec *run.Spec) error {
	on, err := p.on()
	if err != nil {
		return err
	}
	elsewhere, ok := on.(*modal.Backend)
	if !ok {
		return nil
	}
	if err := elsewhere.Check(ctx, spec); err != nil {
		return err
	}
	uploads, err := p.executables(spec)
	if err != nil {
		return err
	}
	for _, upload := range uploads {
		if upload.Size > 0 {
			continue
		}
		missing, err := elsewhere.Missing(ctx, []modal.Upload{upload})
		switch {
		case err != nil:
			return err
		case len(missing) == 0:
		default:
			return exit.Errorf(exit.NotFound, "the plugin of run %s is neither on the volume nor here (%s)", spec.RunID, upload.SHA256).
				Hint("Go on with code that is here: mtt-host resume %s --plugin PLUGIN", spec.RunID)
		}
	}
	return p.upload(ctx, view, elsewhere, uploads)
}

// upload brings executables to the volume, those that it does not have. How much that is is said first.
func (p place) upload(ctx context.Context, view *view, on *modal.Backend, uploads []modal.Upload) error {
	missing, err := on.Missing(ctx, uploads)
	if err != nil || len(missing) == 0 {
		return err
	}
	var bytes int64
	for _, upload := range missing {
		bytes += upload.Size
	}
	view.say(fmt.Sprintf("sending %s to volume %s", backend.SizeText(bytes), on.VolumeName()))
	return on.Send(ctx, missing, nil)
}

// stage makes the directory in which executables are before they go to a volume.
func stage() (string, error) { return scratch.Cache("bin") }

// forModal is the name of the mtt-host for Modal's machines, beside this one where that is for others.
const forModal = "mtt-host-linux-amd64"

// hostForModal finds the mtt-host that lives runs on Modal: this one, or the one that ships with it.
func hostForModal() (modal.Upload, error) {
	path, err := os.Executable()
	if err != nil {
		return modal.Upload{}, err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		path = filepath.Join(filepath.Dir(path), forModal)
	}
	sum, err := digest.File(path)
	if errors.Is(err, os.ErrNotExist) {
		return modal.Upload{}, exit.Errorf(exit.NotFound, "the mtt-host for Modal's machines is not there: %w", err).
			Hint("Build it: make build")
	}
	if err != nil {
		return modal.Upload{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return modal.Upload{}, err
	}
	return modal.Upload{SHA256: sum, Path: path, Size: info.Size()}, nil
}
