package modal

import (
	"context"
	"errors"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// create makes the Sandbox of an attempt. What Modal does not find any more by its id, a Secret, an image or a volume, is
// looked up once more by its name: somebody may have made it anew. exit.NotFound says what is gone.
func (l *life) create(ctx context.Context, attempt run.Attempt, gpu string) (id string, err error) {
	id, err = l.createOnce(ctx, attempt, gpu)
	if !errors.Is(err, api.ErrNotFound) {
		return id, err
	}
	if err := l.prepare(ctx); err != nil {
		return "", err
	}
	id, err = l.createOnce(ctx, attempt, gpu)
	if !errors.Is(err, api.ErrNotFound) {
		return id, err
	}
	if err := l.retry(ctx, "look for the volume", func() error { return l.backend.volume.exists(ctx) }); err != nil {
		return "", err
	}
	return "", exit.Errorf(exit.NotFound, "Modal no longer has what the Sandbox of run %s is made of: %s", l.run.ID, api.RefusalOf(err).Text).
		Hint("Bring it back, or name another, and go on: mtt-host resume %s", l.run.ID)
}
