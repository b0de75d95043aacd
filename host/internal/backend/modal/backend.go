// Package modal is mtt on Modal: volumes, supervisors and attempts. What it asks of Modal it asks by the calls of package
// api.
package modal

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

var (
	_ backend.Backend = (*Backend)(nil)
	_ run.Glancer     = (*Backend)(nil)
)

// Options say where on Modal runs are.
type Options struct {
	Environment string // "": the profile's
	Volume      string // by name
	Create      Create
	// Patience, Say and Notices are those of api.Options.
	Patience time.Duration
	Say      func(text string)
	Notices  *api.Notices
}

// Notices tell a command once what its calls wait for: Options that share them are of one command.
type Notices = api.Notices

// NewNotices returns notices that are told to say.
func NewNotices(say func(text string)) *Notices { return api.NewNotices(say) }

func (o Options) connect(ctx context.Context) (*api.Client, error) {
	if err := checkEnvironment(o.Environment); err != nil {
		return nil, err
	}
	return api.Connect(ctx, api.Options{Environment: o.Environment, Patience: o.Patience, Say: o.Say, Notices: o.Notices})
}

// Create is what Open makes where it is missing.
type Create int

const (
	Nothing      Create = iota
	App                 // for a run that is there: a volume that is made anew would have nothing of it
	AppAndVolume        // for a new run
)

// Backend is the runs on a volume of Modal's. It implements backend.Backend.
type Backend struct {
	ctx         context.Context
	options     Options
	client      *api.Client
	environment string
	app         string // id; "" where there is none: then nothing lives
	volume      *Volume
	mirror      *mirror

	mu      sync.Mutex
	active  []api.SandboxInfo // those that have not ended
	asked   time.Time
	watches map[string]*watch // by run
}

// Open connects to Modal. exit.Usage: the volume can have no runs; exit.Credentials, exit.Unavailable; exit.NotFound: there is
// no such volume.
func Open(ctx context.Context, options Options) (_ *Backend, err error) {
	if err := checkRuns(options.Volume); err != nil {
		return nil, err
	}
	client, err := options.connect(ctx)
	if err != nil {
		return nil, err
	}
	b := &Backend{ctx: ctx, client: client, options: options}
	defer func() {
		if err != nil {
			client.Close()
		}
	}()
	if b.app, b.environment, err = client.FindApp(ctx, appOf(options.Volume), options.Create >= App); err != nil {
		return nil, err
	}
	if options.Create >= AppAndVolume {
		err = client.MakeVolume(ctx, b.environment, options.Volume)
	}
	if err == nil {
		b.volume, err = findVolume(ctx, client, options.Volume)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, exit.Errorf(exit.NotFound, "there is no volume %s on Modal, so no run", options.Volume).
			Hint("The first run makes it: mtt-host run PLUGIN -b modal\nFor runs on another one, add --volume NAME; of another environment, --modal-env NAME.")
	case err != nil:
		return nil, err
	case b.volume.remote.Version != 2:
		return nil, exit.Errorf(exit.Usage, "volume %s has version 1, which keeps nothing until a Sandbox ends: no checkpoint would survive", options.Volume).
			Hint("Name another one with --volume NAME: one that is not there is made with version 2.")
	}
	b.mirror, err = openMirror(b.volume)
	return b, err
}

// Registry is that of backend.Backend.
func (b *Backend) Registry() *run.Registry {
	return run.OpenRemote(b.ctx, "volume "+b.volume.name, b.mirror.dir, b)
}

// VolumeName is how people know it.
func (b *Backend) VolumeName() string { return b.volume.name }

// Volume is that of backend.Backend.
func (b *Backend) Volume(ctx context.Context, name string) (backend.Volume, error) {
	return OpenVolume(ctx, Options{Environment: b.environment, Volume: name, Patience: b.options.Patience, Say: b.options.Say, Notices: b.options.Notices})
}

// VolumeID is Modal's name of the volume that the runs are on, which no other volume ever has.
func (b *Backend) VolumeID() string { return b.volume.remote.ID }

// Close ends the connection.
func (b *Backend) Close() error { return b.volume.Close() }

// Put is that of run.Remote.
func (b *Backend) Put(ctx context.Context, path string, raw []byte, exclusive bool) error {
	return b.mirror.put(ctx, path, raw, exclusive)
}

// Remove is that of run.Remote.
func (b *Backend) Remove(ctx context.Context, path string) error { return b.mirror.remove(ctx, path) }

// Refresh is that of run.Remote. What lives is asked for anew, too, but for a run that is watched, where that is asked for
// before.
func (b *Backend) Refresh(ctx context.Context, id string) error {
	if !b.isWatched(id) {
		b.forget()
	}
	return b.mirror.refresh(ctx, id)
}

// Glance is that of run.Glancer.
func (b *Backend) Glance(ctx context.Context, id string) error {
	return b.mirror.records(ctx, id, isRecord)
}

// Mirror brings the event files of some runs, of all for none, to where the registry has the runs. changed: there was
// something to bring.
func (b *Backend) Mirror(ctx context.Context, ids []string) (changed bool, err error) {
	return b.mirror.events(ctx, ids)
}

// livesFor is for how long it is believed which Sandboxes live: a look at a run asks more than once.
const livesFor = 900 * time.Millisecond

// Live is that of run.Remote: by the names of the Sandboxes.
func (b *Backend) Live(ctx context.Context, id string) (live, supervised bool, err error) {
	active, err := b.sandboxes(ctx)
	for _, sandbox := range active {
		if runOf(sandbox.Name) == id {
			live = true
			supervised = supervised || sandbox.Name != workerName(id)
			b.waitFor(id, sandbox)
		}
	}
	return live, supervised, err
}

// sandboxes returns those of the volume's app that have not ended.
func (b *Backend) sandboxes(ctx context.Context) ([]api.SandboxInfo, error) {
	if b.app == "" {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.asked) < livesFor {
		return b.active, nil
	}
	active, err := b.client.Sandboxes(ctx, b.environment, b.app)
	if err != nil {
		return nil, api.Explain(err)
	}
	b.active, b.asked = active, time.Now()
	return active, nil
}

// Passes is that of run.Remote.
func (b *Backend) Passes(err error) bool { return api.Passes(err) || errors.Is(err, errHeld) }

// Asked is that of run.Remote. The supervisor finds the request by itself, later, and sees to it; but it can be told at once, and
// so can the worker, which is to be told where there is no supervisor.
func (b *Backend) Asked(ctx context.Context, id string, request run.StopRequest) error {
	if request.Followed {
		return nil
	}
	var told sync.WaitGroup
	defer told.Wait()
	told.Go(func() { b.tellSupervisor(ctx, id, request.Now) })
	sandbox, err := b.worker(ctx, id)
	if err != nil || sandbox == "" {
		return err
	}
	return askToStop(ctx, b.client, sandbox, StopLine, request.Now)
}

// tellFor is how long a supervisor is told: one that has no machine yet hears it only when it has.
const tellFor = 5 * time.Second

// tellSupervisor tells the newest supervisor of a run that there is a request to stop. What comes of it does not matter: the
// request is on the volume.
func (b *Backend) tellSupervisor(ctx context.Context, id string, now bool) {
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	r, err := b.Registry().Get(id)
	if err != nil {
		return
	}
	supervisors, err := r.Supervisors()
	if err != nil || len(supervisors) == 0 {
		return
	}
	name := supervisorName(id, supervisors[len(supervisors)-1].Number)
	if sandbox, err := b.client.SandboxNamed(ctx, b.environment, appOf(b.volume.name), name); err == nil && sandbox != "" {
		_ = askToStop(ctx, b.client, sandbox, StopLine, now)
	}
}

// worker returns the Sandbox of a run's worker that lives; "" for none.
func (b *Backend) worker(ctx context.Context, run string) (id string, err error) {
	return b.client.SandboxNamed(ctx, b.environment, appOf(b.volume.name), workerName(run))
}

// askToStop tells the worker in a Sandbox to stop, with StopLine or LimitLine, or at once with now. The pieces have fixed
// numbers, so that asking again says nothing new; the second piece is for a worker that was asked before, and not at once. A
// Sandbox that has ended meanwhile is no error.
func askToStop(ctx context.Context, client *api.Client, sandbox, line string, now bool) error {
	if now {
		line = NowLine
	}
	err := client.WriteStdin(ctx, sandbox, 1, line+"\n")
	if err == nil && now {
		err = client.WriteStdin(ctx, sandbox, 2, NowLine+"\n")
	}
	if errors.Is(err, api.ErrPrecondition) || errors.Is(err, api.ErrNotFound) {
		return nil
	}
	return err
}

// What a worker reads on its stdin. A supervisor takes each line for word of a request, which it then reads.
const (
	StopLine  = "stop"  // save a checkpoint and end, since somebody asked for it
	LimitLine = "limit" // the same, since the run has cost what it may
	NowLine   = "now"   // end at once
)

// Complete is that of run.Remote.
func (b *Backend) Complete(ctx context.Context, r *run.Run, info *run.Info, attempts []run.Attempt) error {
	info.Backend = "modal"
	supervisors, err := r.Supervisors()
	if err != nil {
		return err
	}
	var sandboxes []*run.Sandbox
	for _, attempt := range attempts {
		sandboxes = append(sandboxes, attempt.Sandbox)
	}
	for _, supervisor := range supervisors {
		sandboxes = append(sandboxes, supervisor.Sandbox)
	}
	// The app is the one that has the run's newest Sandbox. That of today has none of it if somebody has stopped the other.
	info.AppID, info.SandboxIDs = b.app, []string{}
	var newest time.Time
	for _, sandbox := range sandboxes {
		if sandbox == nil {
			continue
		}
		info.SandboxIDs = append(info.SandboxIDs, sandbox.SandboxID)
		if sandbox.Time.After(newest) {
			newest, info.AppID = sandbox.Time, sandbox.AppID
		}
	}
	if info.AppID != "" {
		info.Dashboard = "https://modal.com/id/" + info.AppID
	}
	live, supervised, err := b.Live(ctx, r.ID)
	if err != nil || len(supervisors) == 0 {
		return err
	}
	last := supervisors[len(supervisors)-1]
	switch {
	case live && !supervised:
		info.Warning = "its supervisor has left" + b.whyLeft(ctx, last) + ": the attempt goes on, but no other would follow; start a supervisor: mtt-host resume " + r.ID
	case live || info.State == run.Succeeded || info.State == run.Failed:
	case last.End != nil && last.End.Code != exit.OK:
		info.ExitCode, info.Error, info.Next = &last.End.Code, last.End.Cause, last.End.Next
	case last.End == nil && info.ExitCode == nil:
		if ended := b.endOf(ctx, r, last); ended != nil {
			info.ExitCode, info.Error, info.Next = &ended.Code, ended.Error(), ended.Next
		}
	}
	return nil
}

// endOf is how a run has ended whose supervisor could not record why it left, as far as Modal knows; nil for not at all.
func (b *Backend) endOf(ctx context.Context, r *run.Run, last run.Supervisor) *exit.Error {
	if last.Sandbox == nil {
		return nil
	}
	result, err := b.client.WaitSandbox(ctx, last.Sandbox.SandboxID, 0)
	if err != nil || result == nil {
		return nil
	}
	code := exit.Code(result.ExitCode)
	switch {
	case result.Status != api.Failure && b.neverPlaced(ctx, last.Sandbox.SandboxID):
		return exit.Errorf(exit.Interrupted, "its supervisor never had a machine: Modal found none (%s%s)", result.Status, because(result)).
			Hint("Try again: mtt-host resume %s", r.ID)
	case result.Status != api.Failure:
		return exit.Errorf(exit.Interrupted, "its supervisor was ended from outside (%s%s): the app may have been stopped, or the Sandbox", result.Status, because(result))
	case code == exit.Mismatch:
		return b.tampered(r)
	case code == exit.Credentials:
		return exit.Errorf(code, "the credentials that its supervisor had are refused")
	default:
		return exit.Errorf(exit.Interrupted, "its supervisor has left with exit code %d, and could not record why", code).
			Hint("Look at what it said: modal app logs %s", last.Sandbox.AppID)
	}
}

// neverPlaced says whether a Sandbox has ended without ever having had a machine, as far as Modal knows.
func (b *Backend) neverPlaced(ctx context.Context, id string) bool {
	placement, err := b.client.SandboxPlacement(ctx, id)
	return err == nil && placement == api.Unplaced
}

// tampered says that the mtt-host on the volume is another than the one that was put there: it never ran.
func (b *Backend) tampered(r *run.Run) *exit.Error {
	file := "bin/" + r.Spec.Options.Modal.HostSHA256
	return exit.Errorf(exit.Mismatch, "%s on volume %s is not what its name says, and was not run", file, b.volume.name).
		Hint("Remove it, and go on, which brings it there anew: mtt-host volume rm %s %s -b modal\nmtt-host resume %s", b.volume.name, file, r.ID)
}

// whyLeft is why a supervisor left that could not say so on the volume.
func (b *Backend) whyLeft(ctx context.Context, supervisor run.Supervisor) string {
	if supervisor.End != nil {
		return ", since " + supervisor.End.Cause
	}
	if supervisor.Sandbox == nil {
		return ""
	}
	result, err := b.client.WaitSandbox(ctx, supervisor.Sandbox.SandboxID, 0)
	switch {
	case err != nil || result == nil:
		return ""
	case exit.Code(result.ExitCode) == exit.Credentials:
		return ", since its credentials are refused"
	case exit.Code(result.ExitCode) == exit.Unavailable:
		return ", since Modal no longer has a call that it needs"
	default:
		return " (" + result.Status.String() + ")"
	}
}
