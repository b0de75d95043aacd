package modal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

const (
	// queuedFor is how long a Sandbox may be without a machine before the run is said to be QUEUED.
	queuedFor = 3 * time.Second
	// patience is how long one may be before the next GPU of the list is tried.
	patience = 2 * time.Minute
	// Pauses after Modal has refused every GPU of the list.
	firstRefused = 2 * time.Second
	lastRefused  = time.Minute
)

// machine is what an attempt lives on.
type machine struct {
	sandbox string // id; "" for none
	gpu     string
	since   time.Time // when it was known not to have begun
}

// gpus are those that are tried, in order; "" is none.
func (l *life) gpus() []string {
	if gpus := l.run.Spec.Options.Modal.GPU; len(gpus) > 0 {
		return gpus
	}
	return []string{""}
}

// place finds a machine for an attempt: the first GPU of the run's list that is to be had, and the list anew until one is.
// It begins with the Sandbox that was made already, "" for none. Without an error, no Sandbox says that it was asked to stop
// meanwhile; with one, the Sandbox may be there still.
func (l *life) place(ctx context.Context, asked asked, attempt run.Attempt, sandbox string) (machine, error) {
	p := placing{life: l, asked: asked, attempt: attempt, gpus: l.gpus(), pause: firstRefused, on: machine{sandbox: sandbox}}
	if sandbox != "" {
		task := l.task(ctx, sandbox)
		p.next = indexOf(p.gpus, task)
		if p.on.since = task.Started; p.on.since.IsZero() {
			p.on.since = attempt.Claim.Time
		}
	}
	for {
		wait, err := p.tryAll(ctx)
		if wait == 0 || err != nil {
			return p.on, err
		}
		select {
		case <-time.After(wait):
		case <-asked.stop.Done():
			return machine{}, nil
		case <-l.handOver:
			return machine{}, errHandOver
		}
	}
}

// placing is the search for the machine of an attempt.
type placing struct {
	*life
	asked   asked
	attempt run.Attempt
	gpus    []string
	next    int // of gpus
	on      machine
	pause   time.Duration // after every GPU of the list was refused
	limited int           // times in a row that Modal did not even look for one
	reason  string        // why the attempt is said to be QUEUED
}

// tryAll tries the rest of the list, and returns how long to wait before it is tried anew; 0: on is what has come of it.
func (p *placing) tryAll(ctx context.Context) (wait time.Duration, err error) {
	for ; p.next < len(p.gpus); p.next++ {
		p.on.gpu = p.gpus[p.next]
		if p.on.sandbox == "" {
			if p.asked.cause() != nil {
				p.on = machine{}
				return 0, nil
			}
			if wait, err := p.create(ctx); err != nil || wait > 0 {
				return wait, err
			}
		}
		if p.on.sandbox == "" { // refused
			continue
		}
		placed, err := p.began(ctx)
		if placed || err != nil {
			return 0, err
		}
		p.on.sandbox = ""
	}
	p.next = 0
	wait, p.pause = p.pause, min(2*p.pause, lastRefused)
	return wait, nil
}

// create makes a Sandbox on the GPU that is tried; on has none if Modal has no such GPU now. wait: nor would it make another.
func (p *placing) create(ctx context.Context) (wait time.Duration, err error) {
	p.on.since = steadyNow()
	p.on.sandbox, err = p.life.create(ctx, p.attempt, p.on.gpu)
	limit := api.LimitOf(err)
	switch {
	case limit != nil && limit.Kind != api.NoMachine:
		wait, p.next = limit.Pause(p.limited), 0
		p.limited++
	case limit != nil, errors.Is(err, api.ErrExists):
		p.limited = 0
	default:
		p.limited = 0
		return 0, err
	}
	p.on.sandbox = ""
	return wait, p.queued(ctx, p.reasonOf(err))
}

// reasonOf is why no Sandbox could be made on the GPU that is tried.
func (p *placing) reasonOf(err error) string {
	text := err.Error()
	if limit := api.LimitOf(err); limit != nil {
		if limit.Kind != api.NoMachine {
			return text
		}
		text = limit.Text
	}
	return "Modal has no " + orCPU(p.on.gpu) + " now: " + text
}

// queued says why the attempt is QUEUED, unless it was said.
func (p *placing) queued(ctx context.Context, reason string) error {
	if reason == p.reason {
		return nil
	}
	p.reason = reason
	return p.waiting(ctx, p.attempt, reason)
}

// listed are the Sandboxes of the run, also those that have ended, as far as Modal says anything of them.
func (l *life) listed(ctx context.Context) (sandboxes []api.SandboxInfo) {
	err := l.retry(ctx, "list the Sandboxes", func() (err error) {
		sandboxes, err = l.backend.client.TaggedSandboxes(ctx, l.backend.environment, l.backend.app, map[string]string{runTag: l.run.ID})
		return err
	})
	if err != nil {
		l.say("cannot list the Sandboxes of the run: %v", err)
	}
	return sandboxes
}

// task is what Modal says of the machine of a Sandbox, which may have ended; the zero value where it says nothing.
func (l *life) task(ctx context.Context, sandbox string) api.Task {
	for _, info := range l.listed(ctx) {
		if info.ID == sandbox {
			return info.Task
		}
	}
	return api.Task{}
}

// unrecorded is the Sandbox that an attempt executed in whose supervisor was killed before it could record that; nil for
// none. unplaced: there was one, and it has ended without ever having had a machine.
func (l *life) unrecorded(ctx context.Context, attempt run.Attempt) (_ *api.SandboxInfo, unplaced bool, err error) {
	for _, info := range l.listed(ctx) {
		switch {
		case info.Tags[attemptTag] != fmt.Sprint(attempt.Number):
		case !info.Task.Started.IsZero():
			return &info, false, nil
		default:
			err = l.retry(ctx, "look for a machine", func() error {
				placement, err := l.backend.client.SandboxPlacement(ctx, info.ID)
				unplaced = unplaced || placement == api.Unplaced
				return err
			})
			if err != nil && !errors.Is(err, api.ErrNotFound) {
				return nil, false, err
			}
		}
	}
	return nil, unplaced, nil
}

// indexOf is the place in a list of the GPU that a Sandbox was made with; the first, where Modal does not say.
func indexOf(gpus []string, task api.Task) int {
	return max(0, slices.IndexFunc(gpus, func(gpu string) bool {
		want, err := gpuConfig(gpu)
		return err == nil && want == task.GPU
	}))
}

func orCPU(gpu string) string {
	if gpu == "" {
		return "machine"
	}
	return gpu
}

// createOnce makes the Sandbox of an attempt of what was found. One of its name that lives already is it, if the answer to
// an earlier call may have been lost. If not, it is one that a supervisor which died has asked for and never recorded, for
// an attempt that is judged already: nobody would see to what it does, so it is ended. *api.Limit, api.ErrExists: none can
// be made now.
func (l *life) createOnce(ctx context.Context, attempt run.Attempt, gpu string) (id string, err error) {
	modal := l.run.Spec.Options.Modal
	// So that Modal's own limit does not come before the worker has saved.
	margin := orderly(l.run) + run.AttemptMargin
	limit := min(time.Duration(modal.AttemptLimit), run.SandboxLimit-margin)
	config, err := gpuConfig(gpu)
	if err != nil {
		return "", err
	}
	d := api.Sandbox{
		Name: workerName(l.run.ID), Image: l.image, GPU: config, CPU: modal.CPU, MemoryMiB: modal.MemoryMiB, Capped: modal.MaxCost > 0,
		Limit:   (limit + margin).Round(time.Second),
		Secrets: l.secrets,
		Mounts:  append([]api.Mount{{VolumeID: modal.VolumeID, Path: MountPath}}, l.mounts...),
		Command: bootstrap(modal.HostSHA256, "work", l.run.ID, "--outputs", MountPath, "--attempt", fmt.Sprint(attempt.Number), "--limit", limit.String()),
	}
	lost := false // an answer may have been
	err = l.retry(ctx, "make a Sandbox", func() error {
		for again := 0; ; again++ {
			var lostNow bool
			id, lostNow, err = l.backend.client.TryCreateSandbox(ctx, l.backend.app, d)
			lost = lost || lostNow
			if errors.Is(err, api.ErrInvalid) {
				return exit.Errorf(exit.Usage, "Modal refuses the Sandbox for %s: %s", orCPU(gpu), api.RefusalOf(err).Text).
					Hint("Ask for another GPU: mtt-host resume %s --gpu TYPE", l.run.ID)
			}
			if !errors.Is(err, api.ErrExists) || again == nameTries {
				return err
			}
			id, err = l.backend.worker(ctx, l.run.ID)
			if err != nil || id != "" && lost {
				return err
			}
			if id != "" { // and else it has just ended
				l.say("ending Sandbox %s, which is of no attempt that lives", id)
				if err := l.terminate(ctx, id); err != nil {
					return err
				}
			}
		}
	})
	if err == nil {
		// For people who look at Modal's own lists, and for listed, which can do without.
		_ = l.backend.client.TagSandbox(ctx, l.backend.environment, id, map[string]string{runTag: l.run.ID, attemptTag: fmt.Sprint(attempt.Number)})
	}
	return id, err
}

// nameTries is how often a name that is taken is tried again at once: one that ends has it for a moment longer.
const nameTries = 3

// find returns the Sandbox of the run's worker that lives; "" for none.
func (l *life) find(ctx context.Context) (id string, err error) {
	err = l.retry(ctx, "find a Sandbox", func() error {
		id, err = l.backend.worker(ctx, l.run.ID)
		return err
	})
	return id, err
}

// began waits until the Sandbox has a machine. If it ends without one, another has to be made; if it is not to be waited for
// any longer, it is terminated.
func (p *placing) began(ctx context.Context) (placed bool, err error) {
	since := time.Now()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, lookEvery(time.Since(since))) {
		looked, placement := steadyNow(), api.Queued
		err := p.retry(ctx, "look for a machine", func() (err error) {
			placement, err = p.backend.client.SandboxPlacement(ctx, p.on.sandbox)
			return err
		})
		switch {
		case errors.Is(err, api.ErrNotFound):
			return true, nil // it is over, which the watch finds out
		case err != nil || placement == api.Placed:
			return placement == api.Placed, err
		case placement == api.Unplaced:
			p.say("Sandbox %s has ended without a machine", p.on.sandbox)
			return false, p.queued(ctx, "Modal found no "+orCPU(p.on.gpu)+" for the Sandbox and ended it: another is made")
		}
		p.on.since = looked
		queued := time.Since(since)
		if queued >= queuedFor {
			if err := p.queued(ctx, "Modal has no "+orCPU(p.on.gpu)+" free: the Sandbox is in its queue"); err != nil {
				return false, err
			}
		}
		if len(p.gpus) > 1 && queued >= patience || p.asked.cause() != nil {
			return false, p.terminate(ctx, p.on.sandbox)
		}
		select {
		case <-time.After(wait):
		case <-p.asked.stop.Done():
		case <-p.handOver:
			return false, errHandOver
		}
	}
}

// lookEvery is how often to look whether a Sandbox has a machine that has waited for one so long: that this is seen late costs
// nothing, since the worker begins by itself.
func lookEvery(queued time.Duration) time.Duration {
	return min(max(time.Second, queued/10), 15*time.Second)
}

// terminate ends a Sandbox, and waits until it has: its name must be free.
func (l *life) terminate(ctx context.Context, sandbox string) error {
	err := l.retry(ctx, "terminate a Sandbox", func() error { return l.backend.client.TerminateSandbox(ctx, sandbox) })
	if err != nil {
		return err
	}
	_, err = l.untilEnd(ctx, sandbox)
	return err
}

func (l *life) waiting(ctx context.Context, attempt run.Attempt, reason string) error {
	l.say("attempt %d waits: %s", attempt.Number, reason)
	return l.retry(ctx, "say what is waited for", func() error { return l.run.WriteWaiting(attempt.Number, reason) })
}

// MountPath is where the outputs are in a Sandbox, and DataPath the directory of the volumes with data.
const (
	MountPath = "/mtt/outputs"
	DataPath  = "/mtt/data"
)

// bootstrap is the command of a Sandbox: mtt-host, from the volume, hashed once more before it runs. It fails with
// exit.Mismatch. A Secret of the account's may have been given Modal's credentials since it was looked at; before anything
// else, they are forgotten by all but a supervisor.
func bootstrap(sha256 string, args ...string) []string {
	script := strings.Join([]string{
		`set -eu`,
		`[ "$3" = ` + superviseCommand + ` ] || unset ` + strings.Join(tokenKeys, " "),
		`dir=$HOME/.mtt`,
		`mkdir -p "$dir"`,
		`cp "$1/bin/$2" "$dir/mtt-host"`,
		`echo "$2  $dir/mtt-host" | sha256sum -c - >/dev/null || { echo "mtt: bin/$2 is not what its name says" >&2; exit 65; }`,
		`chmod 755 "$dir/mtt-host"`,
		`shift 2`,
		`exec "$dir/mtt-host" "$@"`,
	}, "\n")
	return append([]string{"sh", "-c", script, "mtt", MountPath, sha256}, args...)
}
