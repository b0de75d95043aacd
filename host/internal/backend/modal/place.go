package modal

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

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

// place finds a machine for an attempt: the first GPU of the run's list that is to be had, and the list anew until one is.
// "": it was asked to stop meanwhile.
func (l *life) place(ctx, stop context.Context, attempt run.Attempt) (sandbox, gpu string, err error) {
	gpus := l.run.Spec.Options.Modal.GPU
	if len(gpus) == 0 {
		gpus = []string{""}
	}
	for pause := firstRefused; ; pause = min(2*pause, lastRefused) {
		for _, gpu := range gpus {
			sandbox, err := l.create(ctx, attempt, gpu)
			if isCode(err, codes.ResourceExhausted) {
				if err := l.waiting(ctx, attempt, "Modal has no "+orCPU(gpu)+" now: "+err.Error()); err != nil {
					return "", "", err
				}
				continue
			}
			if err != nil {
				return "", "", err
			}
			began, err := l.began(ctx, stop, attempt, sandbox, gpu, len(gpus) > 1)
			if began || err != nil {
				return sandbox, gpu, err
			}
			if stop.Err() != nil {
				return "", "", nil
			}
		}
		select {
		case <-time.After(pause):
		case <-stop.Done():
			return "", "", nil
		case <-l.handOver:
			return "", "", errHandOver
		}
	}
}

func orCPU(gpu string) string {
	if gpu == "" {
		return "machine"
	}
	return gpu
}

// createOnce makes the Sandbox of an attempt of what was found. One of its name that lives already is it, if the answer to an earlier call may
// have been lost. If not, it is one that a supervisor which died has asked for and never recorded, for an attempt that is
// judged already: nobody would see to what it does, so it is ended.
func (l *life) createOnce(ctx context.Context, attempt run.Attempt, gpu string) (id string, err error) {
	modal := l.run.Spec.Options.Modal
	d := definition{
		name: workerName(l.run.ID), image: l.image, gpu: gpu, cpu: modal.CPU, memory: modal.MemoryMiB, capped: modal.MaxCost > 0,
		limit:   min(time.Duration(modal.AttemptLimit)+time.Duration(l.run.Spec.Options.StopGrace)+untilTerminated, run.SandboxLimit).Round(time.Second),
		secrets: l.secrets,
		volumes: append([]volumeMount{{id: modal.VolumeID, path: MountPath}}, l.mounts...),
		command: bootstrap(modal.HostSHA256, "work", l.run.ID, "--outputs", MountPath, "--attempt", fmt.Sprint(attempt.Number), "--limit", modal.AttemptLimit.String()),
	}
	lost := false // an answer may have been
	err = l.persist(ctx, "make a Sandbox", func() error {
		for {
			var tried int
			id, tried, err = l.backend.client.create(ctx, l.backend.app, d)
			lost = lost || tried > 0
			if isCode(err, codes.InvalidArgument) {
				return exit.Errorf(exit.Usage, "Modal refuses the Sandbox for %s: %s", orCPU(gpu), failureOf(err).text).
					Hint("Ask for another GPU: mtt-host resume %s --gpu TYPE", l.run.ID)
			}
			if !isCode(err, codes.AlreadyExists) {
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
		// For people who look at Modal's own lists; nothing depends on it.
		_ = l.backend.client.tag(ctx, l.backend.environment, id, map[string]string{"mtt_run": l.run.ID, "mtt_attempt": fmt.Sprint(attempt.Number)})
	}
	return id, err
}

// find returns the Sandbox of the run's worker that lives; "" for none.
func (l *life) find(ctx context.Context) (id string, err error) {
	err = l.persist(ctx, "find a Sandbox", func() error {
		id, err = l.backend.worker(ctx, l.run.ID)
		return err
	})
	return id, err
}

// began waits until a Sandbox has a machine. If it is not to be waited for any longer, it is terminated.
func (l *life) began(ctx, stop context.Context, attempt run.Attempt, sandbox, gpu string, others bool) (bool, error) {
	since := time.Now()
	said := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		var began bool
		err := l.persist(ctx, "look for a machine", func() (err error) {
			began, err = l.backend.client.started(ctx, sandbox)
			return err
		})
		if isCode(err, codes.NotFound) {
			return true, nil // it is over, which the watch finds out
		}
		if began || err != nil {
			return began, err
		}
		queued := time.Since(since)
		if queued >= queuedFor && !said {
			said = true
			if err := l.waiting(ctx, attempt, "Modal has no "+orCPU(gpu)+" free: the Sandbox is in its queue"); err != nil {
				return false, err
			}
		}
		if others && queued >= patience || stop.Err() != nil {
			return false, l.terminate(ctx, sandbox)
		}
		select {
		case <-time.After(wait):
		case <-stop.Done():
		case <-l.handOver:
			return false, errHandOver
		}
	}
}

// terminate ends a Sandbox, and waits until it has: its name must be free.
func (l *life) terminate(ctx context.Context, sandbox string) error {
	ctx = context.WithoutCancel(ctx)
	err := l.persist(ctx, "terminate a Sandbox", func() error { return l.backend.client.terminate(ctx, sandbox) })
	if err != nil {
		return err
	}
	_, err = l.untilEnd(ctx, sandbox)
	return err
}

func (l *life) waiting(ctx context.Context, attempt run.Attempt, reason string) error {
	l.say("attempt %d waits: %s", attempt.Number, reason)
	return l.persist(ctx, "say what is waited for", func() error { return l.run.WriteWaiting(attempt.Number, reason) })
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
