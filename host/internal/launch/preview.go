package launch

import (
	"context"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Preview says what Choose would do, and writes nothing: the run that would go on, nil for a new one.
func Preview(ctx context.Context, on backend.Backend, spec *run.Spec, request Request) (*run.Run, error) {
	if request.Name != "" {
		there, err := on.Registry().Get(request.Name)
		switch {
		case exit.Of(err) == exit.NotFound:
			return nil, nil
		case err != nil:
			return nil, err
		case !there.Spec.Same(spec):
			return nil, otherIdentity(there, spec)
		}
		return there, nil
	}
	if request.New {
		return nil, nil
	}
	same, _, err := unfinished(ctx, on, spec)
	switch {
	case err != nil || len(same) == 0:
		return nil, err
	case len(same) > 1:
		return nil, severalUnfinished(same)
	}
	return same[0], nil
}
