package modal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Upload is an executable that has to be on the volume before a run can begin.
type Upload struct {
	SHA256 string
	Path   string // on this machine
	Size   int64  // in bytes; 0 if it is not here
}

// Environment is the one of Modal's that all of it is in: the one that was asked for, or that MODAL_ENVIRONMENT or the
// profile names; "" for the account's own.
func (b *Backend) Environment() string { return b.environment }

// Missing returns those executables that the volume does not have, whole.
func (b *Backend) Missing(ctx context.Context, uploads []Upload) (missing []Upload, err error) {
	for _, upload := range uploads {
		entry, err := b.volume.Stat(ctx, "bin/"+upload.SHA256)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, decidable(err)
		}
		if err != nil || upload.Size > 0 && entry.Size != upload.Size {
			missing = append(missing, upload)
		}
	}
	return missing, nil
}

// Send puts executables on the volume, each under its digest. Moved is told how many bytes went.
func (b *Backend) Send(ctx context.Context, uploads []Upload, moved func(int64)) error {
	var sources []backend.Source
	for _, upload := range uploads {
		sources = append(sources, backend.Source{
			Path: "bin/" + upload.SHA256, Size: upload.Size, Mode: 0o555,
			Open: func() (backend.Content, error) { return os.Open(upload.Path) },
		})
	}
	return b.volume.Put(ctx, sources, backend.PutOptions{Moved: moved})
}

// Check looks whether Modal has what a run asks for: its volumes with data, and its Secrets; and others that are needed for
// it. exit.NotFound: it has not.
func (b *Backend) Check(ctx context.Context, spec *run.Spec, others ...run.Secret) error {
	for _, volume := range spec.Options.Mounts {
		if err := CheckVolume(volume); err != nil {
			return err
		}
		if _, err := findVolume(ctx, b.client, volume); err != nil {
			return dataError(volume, "--mount VOLUME:NAME", decidable(err))
		}
	}
	for _, secret := range slices.Concat(spec.Options.Modal.Secrets, others) {
		if _, err := findSecret(ctx, b.client, b.environment, secret); err != nil {
			return decidable(err)
		}
	}
	return nil
}

// Check is that of Backend, where the volume that the run is to be on is not there yet.
func Check(ctx context.Context, options Options, spec *run.Spec, others ...run.Secret) error {
	client, err := options.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	b := &Backend{ctx: ctx, client: client}
	if _, b.environment, err = client.FindApp(ctx, appOf(spec.Options.Modal.Volume), false); err != nil {
		return api.Explain(err)
	}
	return b.Check(ctx, spec, others...)
}

// Detach is that of backend.Backend: it starts a supervisor, which starts the attempts. The run has been created, or
// readied to go on, and its executables are on the volume.
func (b *Backend) Detach(ctx context.Context, r *run.Run) error {
	n := r.NextSupervisor()
	// Before the claim, so that little can come between it and the Sandbox.
	d, err := b.supervisor(ctx, r, n)
	if err != nil {
		return api.Explain(err)
	}
	stop, err := r.StopRequest()
	if err != nil {
		return err
	}
	passed, err := b.passOn(ctx, r)
	if err != nil {
		return api.Explain(err)
	}
	claim := run.SupervisorClaim{Spec: r.Adopted(), Stop: stop, PassedSecret: passed, HostSHA256: r.Spec.Options.Modal.HostSHA256, Time: steadyNow()}
	err = r.ClaimSupervisor(n, claim)
	if errors.Is(err, fs.ErrExist) {
		return errors.Join(startedByAnother(r), b.forgetPassed(ctx, passed))
	}
	if err != nil {
		return err
	}
	b.forget()
	err = b.startSupervisor(ctx, r, n, d)
	if api.RefusalOf(err) != nil || api.LimitOf(err) != nil { // so that nobody waits for it
		end := run.SupervisorEnd{Code: exit.Unavailable, Cause: "it could not be started: " + err.Error()}
		return errors.Join(api.Explain(err), r.WriteSupervisorEnd(n, end), b.forgetPassed(ctx, passed))
	}
	return err
}

func startedByAnother(r *run.Run) error {
	return exit.Errorf(exit.StillRunning, "run %s was started by another command just now", r.ID).
		Hint("Look at it: mtt-host show %s", r.ID)
}

// forget has the next look at what lives ask Modal.
func (b *Backend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = time.Time{}
}

// supervisor is the Sandbox of supervisor n. It has no GPU, no region and no cloud of its own choice, so that Modal does
// not preempt it. Its environment is ours, by its name: in a Sandbox there is neither a profile nor a variable to say so.
func (b *Backend) supervisor(ctx context.Context, r *run.Run, n int) (api.Sandbox, error) {
	modal := r.Spec.Options.Modal
	var image, secret string
	group, inGroup := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		image, err = makeImage(inGroup, b.client, b.app, modal.Image, nil)
		return err
	})
	group.Go(func() (err error) {
		secret, err = ownSecret(inGroup, b.client, b.environment)
		return err
	})
	if err := group.Wait(); err != nil {
		return api.Sandbox{}, err
	}
	return api.Sandbox{
		Name: supervisorName(r.ID, n), Image: image, Secrets: []string{secret}, CPU: supervisorCores, MemoryMiB: supervisorMemory, Capped: true,
		Limit:  min(time.Duration(modal.SupervisorLimit)+run.SupervisorMargin, run.SandboxLimit).Round(time.Second),
		Mounts: []api.Mount{{VolumeID: modal.VolumeID, Path: MountPath, ReadOnly: true}},
		Command: bootstrap(modal.HostSHA256, superviseCommand, r.ID, "--number", fmt.Sprint(n),
			"--volume", modal.Volume, "--volume-id", modal.VolumeID, "--limit", modal.SupervisorLimit.String(), "--modal-env", b.environment),
	}, nil
}

// superviseCommand is mtt-host's for what supervises a run on Modal.
const superviseCommand = "supervise-modal"

// startSupervisor makes the Sandbox of supervisor n, which is claimed, waits until it has a machine, and records it: one that
// ends without a machine leaves no word, and is replaced. A client without patience waits for a short time only.
func (b *Backend) startSupervisor(ctx context.Context, r *run.Run, n int, d api.Sandbox) error {
	var late <-chan time.Time
	if b.options.Patience > 0 {
		late = time.After(soon)
	}
	for unplaced := 0; ; unplaced++ {
		id, err := b.createSupervisor(ctx, r, d)
		if err != nil || id == "" { // "": it has ended already, and has recorded that by itself
			return err
		}
		placement, err := b.placement(ctx, id, late)
		if err != nil {
			return err
		}
		if placement != api.Unplaced {
			return b.recordSupervisor(r, n, id)
		}
		select {
		case <-late:
			return exit.Errorf(exit.Unavailable, "Modal has found no machine for the supervisor of run %s", r.ID).
				Hint("Try again: mtt-host resume %s", r.ID)
		default:
			if err := api.Pause(ctx, unplaced); err != nil {
				return err
			}
		}
	}
}

// createSupervisor makes the Sandbox of a supervisor that is claimed; "": it has ended already.
func (b *Backend) createSupervisor(ctx context.Context, r *run.Run, d api.Sandbox) (id string, err error) {
	id, _, err = b.client.CreateSandbox(ctx, b.app, d)
	if errors.Is(err, api.ErrExists) { // the answer to an earlier try was lost: the claim makes it ours
		id, err = b.client.SandboxNamed(ctx, b.environment, appOf(r.Spec.Options.Modal.Volume), d.Name)
	}
	return id, err
}

// recordSupervisor records the Sandbox of supervisor n. The supervisor does this itself, but not if it cannot even begin; then
// it is asked why.
func (b *Backend) recordSupervisor(r *run.Run, n int, id string) error {
	err := r.WriteSupervisorSandbox(n, run.Sandbox{SandboxID: id, AppID: b.app, Time: steadyNow()})
	if errors.Is(err, fs.ErrExist) || exit.Of(err) == exit.Unavailable {
		return nil
	}
	return err
}

// soon is how long a command that does not wait for anything else waits for the machine of a supervisor.
const soon = 10 * time.Second

// placement waits until a Sandbox has a machine, or has ended without one, or until late.
func (b *Backend) placement(ctx context.Context, id string, late <-chan time.Time) (placement api.Placement, err error) {
	since := time.Now()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, lookEvery(time.Since(since))) {
		placement, err = b.client.SandboxPlacement(ctx, id)
		if errors.Is(err, api.ErrNotFound) { // it has ended long ago
			return api.Placed, nil
		}
		if err != nil || placement != api.Queued {
			return placement, err
		}
		select {
		case <-time.After(wait):
		case <-late:
			return api.Queued, nil
		case <-ctx.Done():
			return api.Queued, context.Cause(ctx)
		}
	}
}

// secretName is the Secret that supervisors have Modal's credentials from. It is kept up to date by whoever starts one.
const secretName = "mtt-supervisor"

// ownSecret makes the Secret of the supervisors from the credentials that this client has.
func ownSecret(ctx context.Context, client *api.Client, environment string) (id string, err error) {
	tokenID, tokenSecret := client.Credentials()
	env := map[string]string{"MODAL_TOKEN_ID": tokenID, "MODAL_TOKEN_SECRET": tokenSecret}
	for _, name := range []string{"MODAL_SERVER_URL"} {
		if value := os.Getenv(name); value != "" {
			env[name] = value
		}
	}
	return client.SetSecret(ctx, environment, secretName, env)
}

// tokenKeys are the names of Modal's own credentials, which no Sandbox has but a supervisor's.
var tokenKeys = []string{"MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"}

// findSecret returns the id of a Secret that has the keys, and none of Modal's credentials: a Sandbox gets all keys of it.
func findSecret(ctx context.Context, client *api.Client, environment string, secret run.Secret) (id string, err error) {
	id, err = client.FindSecret(ctx, environment, secret.Name, secret.Keys)
	if errors.Is(err, api.ErrNotFound) {
		return "", exit.Errorf(exit.NotFound, "no Secret %s with the key %s on Modal: %w", secret.Name, strings.Join(secret.Keys, ", "), err).
			Hint("See which there are: modal secret list")
	}
	if err != nil {
		return "", err
	}
	for _, key := range tokenKeys { // no call tells the keys, but each can be asked for
		switch _, err := client.FindSecret(ctx, environment, secret.Name, []string{key}); {
		case err == nil:
			return "", exit.Errorf(exit.Usage, "the Secret %s has the key %s, and Modal's credentials go to no Sandbox with a plugin", secret.Name, key).
				Hint("Name one that has what the plugin needs alone: modal secret create NAME KEY=VALUE")
		case api.RefusalOf(err) == nil:
			return "", err
		}
	}
	return id, nil
}
