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
	gpus := l.gpus()
	on, next := machine{sandbox: sandbox}, 0
	if sandbox != "" {
		task := l.task(ctx, sandbox)
		next = indexOf(gpus, task)
		if on.since = task.Started; on.since.IsZero() {
			on.since = attempt.Claim.Time
		}
	}
	for pause := firstRefused; ; pause = min(2*pause, lastRefused) {
		for ; next < len(gpus); next++ {
			on.gpu = gpus[next]
			if on.sandbox == "" {
				if asked.cause() != nil {
					return machine{}, nil
				}
				var err error
				on.since = steadyNow()
				on.sandbox, err = l.create(ctx, attempt, on.gpu)
				if errors.Is(err, api.ErrExhausted) || errors.Is(err, api.ErrExists) {
					if err := l.waiting(ctx, attempt, "Modal has no "+orCPU(on.gpu)+" now: "+err.Error()); err != nil {
						return machine{}, err
					}
					on.sandbox = ""
					continue
				}
				if err != nil {
					return on, err
				}
			}
			began, err := l.began(ctx, asked, attempt, &on, len(gpus) > 1)
			if began || err != nil {
				return on, err
			}
			on.sandbox = ""
			if asked.cause() != nil {
				return machine{}, nil
			}
		}
		next = 0
		select {
		case <-time.After(pause):
		case <-asked.stop.Done():
			return machine{}, nil
		case <-l.handOver:
			return machine{}, errHandOver
		}
	}
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

// unrecorded is the Sandbox that an attempt lived in whose supervisor was killed before it could record that; nil for none.
func (l *life) unrecorded(ctx context.Context, attempt run.Attempt) *api.SandboxInfo {
	for _, info := range l.listed(ctx) {
		if info.Tags[attemptTag] == fmt.Sprint(attempt.Number) && !info.Task.Started.IsZero() {
			return &info
		}
	}
	return nil
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
// an attempt that is judged already: nobody would see to what it does, so it is ended. api.ErrExhausted,
// api.ErrExists: none can be made now.
func (l *life) createOnce(ctx context.Context, attempt run.Attempt, gpu string) (id string, err error) {
	modal := l.run.Spec.Options.Modal
	limit := min(time.Duration(modal.AttemptLimit), run.SandboxLimit-orderly(l.run)) // so that Modal's own never comes before it has saved
	config, err := gpuConfig(gpu)
	if err != nil {
		return "", err
	}
	d := api.Sandbox{
		Name: workerName(l.run.ID), Image: l.image, GPU: config, CPU: modal.CPU, MemoryMiB: modal.MemoryMiB, Capped: modal.MaxCost > 0,
		Limit:   (limit + orderly(l.run)).Round(time.Second),
		Secrets: l.secrets,
		Mounts:  append([]api.Mount{{VolumeID: modal.VolumeID, Path: MountPath}}, l.mounts...),
		Command: bootstrap(modal.HostSHA256, "work", l.run.ID, "--outputs", MountPath, "--attempt", fmt.Sprint(attempt.Number), "--limit", limit.String()),
	}
	lost := false // an answer may have been
	err = l.retry(ctx, "make a Sandbox", func() error {
		for again := 0; ; again++ {
			var tried int
			id, tried, err = l.backend.client.CreateSandbox(ctx, l.backend.app, d)
			lost = lost || tried > 0
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

// began waits until a Sandbox has a machine. If it is not to be waited for any longer, it is terminated.
func (l *life) began(ctx context.Context, asked asked, attempt run.Attempt, on *machine, others bool) (bool, error) {
	since := time.Now()
	said := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		looked, began := steadyNow(), false
		err := l.retry(ctx, "look for a machine", func() (err error) {
			began, err = l.backend.client.SandboxStarted(ctx, on.sandbox)
			return err
		})
		if errors.Is(err, api.ErrNotFound) {
			return true, nil // it is over, which the watch finds out
		}
		if began || err != nil {
			return began, err
		}
		on.since = looked
		queued := time.Since(since)
		if queued >= queuedFor && !said {
			said = true
			if err := l.waiting(ctx, attempt, "Modal has no "+orCPU(on.gpu)+" free: the Sandbox is in its queue"); err != nil {
				return false, err
			}
		}
		if others && queued >= patience || asked.cause() != nil {
			return false, l.terminate(ctx, on.sandbox)
		}
		select {
		case <-time.After(wait):
		case <-asked.stop.Done():
		case <-l.handOver:
			return false, errHandOver
		}
	}
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
