package modal

import (
	"context"
	"slices"
)

// LiveRuns returns the runs on the volume that live: those of which a Sandbox does.
func (v *Volume) LiveRuns(ctx context.Context) (runs []string, err error) {
	app, environment, err := v.client.findApp(ctx, appOf(v.name), false)
	if err != nil || app == "" {
		return nil, err
	}
	alive, err := v.client.alive(ctx, environment, app)
	for _, sandbox := range alive {
		if id := runOf(sandbox.GetName()); id != "" && !slices.Contains(runs, id) {
			runs = append(runs, id)
		}
	}
	return runs, err
}
