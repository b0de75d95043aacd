package modal

import (
	"context"
	"errors"
	"os"

	"github.com/oklog/ulid/v2"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// passOn makes a Secret of the variables of this process's environment that the run passes on, and returns its name; "" if it
// passes none. It is one of its own: what a command sets that finds the run started by another must not change what that one
// has set.
func (b *Backend) passOn(ctx context.Context, r *run.Run) (name string, err error) {
	passed, err := r.Spec.Options.Passed(os.LookupEnv)
	if err != nil || len(passed) == 0 {
		return "", err
	}
	name = "mtt-env-" + ulid.Make().String()
	_, err = b.client.SetSecret(ctx, b.environment, name, passed)
	return name, err
}

// forgetPassed removes a Secret that passOn has made for a supervisor that is not started; "" is none.
func (b *Backend) forgetPassed(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	return b.client.DeleteSecret(ctx, b.environment, name)
}

// findPassed returns the id of the Secret that the command has made which started the supervisors.
func (l *life) findPassed(ctx context.Context) (id string, err error) {
	id, err = l.backend.client.FindSecret(ctx, l.backend.environment, l.passed, l.run.Spec.Options.PassedEnv)
	if errors.Is(err, api.ErrNotFound) {
		return "", exit.Errorf(exit.NotFound, "the Secret %s, by which run %s has its variables, is gone from Modal: %w", l.passed, l.run.ID, err).
			Hint("Set the variables, and go on: mtt-host resume %s", l.run.ID)
	}
	return id, err
}

// removePassed removes the Secret by which the run had its variables, and those of earlier supervisors that have not left a
// word: the command that has the run go on makes another.
func (l *life) removePassed(ctx context.Context) {
	names := map[string]bool{l.passed: true}
	supervisors, err := l.run.Supervisors()
	for _, other := range supervisors {
		if other.Number < l.number && other.End == nil {
			names[other.Claim.PassedSecret] = true
		}
	}
	delete(names, "")
	for name := range names {
		err = errors.Join(err, l.backend.client.DeleteSecret(ctx, l.backend.environment, name))
	}
	if err != nil {
		l.say("Secrets with the run's variables may be left on Modal: %v", err)
	}
}
