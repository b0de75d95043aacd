package launch

import (
	"context"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Preview says what Choose would do, and writes nothing: the run that would go on, nil for a new one.
func Preview(ctx context.Context, on backend.Backend, spec *run.Spec, request Request) (*run.Run, error) {
	there, err := preview(ctx, on, spec, request)
	if err != nil || there == nil {
		return nil, err
	}
	result, err := there.Result()
	if err == nil {
		err = refuse(there, spec, result)
	}
	if err != nil {
		return nil, err
	}
	return there, nil
}

func preview(ctx context.Context, on backend.Backend, spec *run.Spec, request Request) (*run.Run, error) {
	switch {
	case request.Name != "":
		there, err := on.Registry().Get(request.Name)
		if exit.Of(err) == exit.NotFound {
			return nil, nil
		}
		return there, err
	case request.New:
		return nil, nil
	}
	found, err := findRelated(ctx, on, spec)
	if err != nil {
		return nil, err
	}
	return found.toGoOnWith()
}
