package modal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/supervise"
)

// Supervision is what a supervisor is told when it starts, in a Sandbox without a GPU.
type Supervision struct {
	Environment string
	Volume      string // its name, for the app and for people
	VolumeID    string // another volume of that name has nothing of the run
	Run         string
	Number      int // of the supervisor
	Limit       time.Duration
	Version     string    // of mtt-host
	Stdin       io.Reader // on which it is told that there is a request to stop
	Say         func(format string, args ...any)
}

// pollEvery is how often a supervisor looks for a request to stop that it was not told of: each look costs calls, which Modal
// limits for an account.
const pollEvery = 30 * time.Second

// Supervise lives a run until it has ended, another supervisor has taken over, or a successor has to.
func Supervise(ctx context.Context, s Supervision) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer l.backend.Close()
	err = s.supervise(ctx, l)
	switch {
	case errors.Is(err, errHandOver):
		return nil // which is recorded
	case errors.Is(err, errSuperseded):
		s.Say("%v", err)
		return nil
	case exit.Of(err) == exit.Credentials: // nothing can be recorded, and the attempt goes on
		return err
	}
	end := run.SupervisorEnd{Code: exit.Of(err), Cause: "the run has ended"}
	if err != nil {
		end.Cause = err.Error()
		if known, ok := errors.AsType[*exit.Error](err); ok {
			end.Next = known.Next
		}
	}
	if recordErr := l.retry(ctx, "record its end", func() error { return l.run.WriteSupervisorEnd(s.Number, end) }); recordErr != nil {
		s.Say("its end is not recorded: %v", recordErr)
	}
	l.removePassed(ctx)
	return err
}

func (s Supervision) open(ctx context.Context) (*life, error) {
	b := &Backend{ctx: ctx}
	l := &life{backend: b, number: s.Number, version: s.Version, say: s.Say, handOver: time.After(s.Limit)}
	var client *api.Client
	err := l.retry(ctx, "connect to Modal", func() (err error) {
		client, err = api.Connect(ctx, api.Options{Environment: s.Environment, Say: func(text string) { s.Say("%s", text) }})
		return err
	})
	if err != nil {
		return nil, err
	}
	b.client, b.volume = client, newVolume(client, s.Volume, api.Volume{ID: s.VolumeID, Version: 2})
	err = l.retry(ctx, "find its app", func() error {
		b.app, b.environment, err = client.FindApp(ctx, appOf(s.Volume), true)
		return err
	})
	if err == nil {
		b.mirror, err = openMirror(b.volume)
	}
	if err == nil {
		err = l.retry(ctx, "read the run", func() error {
			if err := b.Refresh(ctx, s.Run); err != nil {
				return err
			}
			l.run, err = b.Registry().Get(s.Run)
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	l.store = b.Checkpoints(ctx, l.run)
	return l, nil
}

func (s Supervision) supervise(ctx context.Context, l *life) error {
	supervisors, err := l.run.Supervisors()
	if err != nil {
		return err
	}
	var claim *run.SupervisorClaim
	for _, other := range supervisors {
		if other.Number == s.Number {
			claim = &other.Claim
		}
	}
	if claim == nil {
		return fmt.Errorf("supervisor %d of run %s is not claimed", s.Number, s.Run)
	}
	if err := l.superseded(); err != nil {
		return err
	}
	l.succeeds, l.passed = claim.Spec == nil, claim.PassedSecret
	l.introduce(ctx)
	if err := l.depose(ctx, supervisors); err != nil {
		return err
	}
	ended, err := l.run.Result()
	if err != nil {
		return err
	}
	if claim.Spec != nil && !ended.Succeeded() { // a person has asked for this; a worker that nobody supervised may have been faster
		l.run.Adopt(claim.Spec)
		if err := l.retry(ctx, "ready the run", func() error { return l.run.Reopen(claim.Stop) }); err != nil {
			return err
		}
	}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	streak := claim.Streak
	_, err = supervise.Run(ctx, ctx, l.run, l, supervise.Options{Recover: true, Streak: &streak, Poll: pollEvery, Told: linesOf(s.Stdin)})
	if errors.Is(err, errHandOver) {
		return l.succeed(ctx, s, streak)
	}
	return err
}

// linesOf gets something for each line.
func linesOf(from io.Reader) <-chan struct{} {
	lines := make(chan struct{}, 1)
	go func() {
		for scanner := bufio.NewScanner(from); scanner.Scan(); {
			select {
			case lines <- struct{}{}:
			default: // which one line has said already
			}
		}
	}()
	return lines
}

// introduce records where the supervisor lives, for people.
func (l *life) introduce(ctx context.Context) {
	id := os.Getenv("MODAL_SANDBOX_ID") // Modal sets it
	if id == "" {
		return
	}
	err := l.retry(ctx, "record its Sandbox", func() error {
		return l.run.WriteSupervisorSandbox(l.number, run.Sandbox{SandboxID: id, AppID: l.backend.app, Time: steadyNow()})
	})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		l.say("%v", err)
	}
	_ = l.backend.client.TagSandbox(ctx, l.backend.environment, id, map[string]string{runTag: l.run.ID, "mtt_supervisor": fmt.Sprint(l.number)})
}

// leaving is how long an earlier supervisor has to leave by itself, which one that hands over is about to.
const leaving = 5 * time.Second

// depose sees to it that no earlier supervisor lives: what it was about to do when this one was claimed must not come
// behind what this one does. One that has not begun yet finds this one's claim, and leaves.
func (l *life) depose(ctx context.Context, supervisors []run.Supervisor) error {
	for _, other := range supervisors {
		if other.Number >= l.number || other.End != nil {
			continue
		}
		var id string
		err := l.retry(ctx, "look for an earlier supervisor", func() (err error) {
			id, err = l.backend.client.SandboxNamed(ctx, l.backend.environment, appOf(l.backend.volume.name), supervisorName(l.run.ID, other.Number))
			if id == "" || err != nil {
				return err
			}
			left, err := l.backend.client.WaitSandbox(ctx, id, leaving)
			if left != nil || errors.Is(err, api.ErrNotFound) {
				id = ""
				return nil
			}
			return err
		})
		if err == nil && id != "" {
			l.say("ending supervisor %d, whose place this is", other.Number)
			err = l.terminate(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare finds what every attempt's Sandbox is made of.
func (l *life) prepare(ctx context.Context) error {
	modal := l.run.Spec.Options.Modal
	return l.retry(ctx, "find the image and the secrets", func() (err error) {
		l.image, err = makeImage(ctx, l.backend.client, l.backend.app, modal.Image, modal.Layers)
		if err != nil {
			return err
		}
		l.secrets, l.mounts = nil, nil
		for name, of := range l.run.Spec.Options.Mounts {
			volume, err := findVolume(ctx, l.backend.client, of)
			if err != nil {
				return dataError(of, "mtt-host resume "+l.run.ID+" --mount VOLUME:NAME", err)
			}
			l.mounts = append(l.mounts, api.Mount{VolumeID: volume.remote.ID, Path: path.Join(DataPath, name), ReadOnly: true})
		}
		for _, secret := range modal.Secrets {
			id, err := findSecret(ctx, l.backend.client, l.backend.environment, secret)
			if err != nil {
				return err
			}
			l.secrets = append(l.secrets, id)
		}
		if l.passed != "" {
			id, err := l.findPassed(ctx)
			if err != nil {
				return err
			}
			l.secrets = append(l.secrets, id)
		}
		return nil
	})
}

// dataError says that a volume is not there which a run is to have its data from, and how another can be named instead.
func dataError(volume, instead string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return exit.Errorf(exit.NotFound, "there is no volume %s, which --mount names", volume).
			Hint("Make it, and put the data there: modal volume create %s --version 2\nOr name another one: %s", volume, instead)
	}
	return err
}

// succeed starts a successor.
func (l *life) succeed(ctx context.Context, s Supervision, streak run.Streak) error {
	next := s.Number + 1
	var d api.Sandbox
	err := l.retry(ctx, "find the image of a successor", func() (err error) {
		d, err = l.backend.supervisor(ctx, l.run, next)
		return err
	})
	if err != nil {
		return err
	}
	// One claim, however often it is tried: another of its own would look to it like somebody else's.
	claim := run.SupervisorClaim{Streak: streak, PassedSecret: l.passed, HostSHA256: l.run.Spec.Options.Modal.HostSHA256, Time: steadyNow()}
	err = l.retry(ctx, "claim a successor", func() error { return l.run.ClaimSupervisor(next, claim) })
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", errSuperseded, err)
	}
	if err == nil {
		err = l.retry(ctx, "start a successor", func() error { return l.backend.startSupervisor(ctx, l.run, next, d) })
	}
	if err == nil {
		err = l.retry(ctx, "record the successor", func() error {
			err := l.run.WriteSupervisorEnd(s.Number, run.SupervisorEnd{Cause: "its time was up", Successor: next})
			if errors.Is(err, fs.ErrExist) { // the answer to an earlier try was lost
				return nil
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	l.say("supervisor %d takes over", next)
	return errHandOver
}
