package modal

import (
	"context"
	"errors"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// makeImage is api.Client.Image. exit.Usage: the image cannot be built.
func makeImage(ctx context.Context, client *api.Client, app, base string, layers []string) (id string, err error) {
	id, err = client.Image(ctx, app, base, layers)
	if build, ok := errors.AsType[*api.BuildError](err); ok {
		return "", exit.Errorf(exit.Usage, "%w", build).Hint("Name another with --image REF, or other packages with --apt.")
	}
	return id, err
}
