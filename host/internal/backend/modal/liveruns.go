package modal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// InUse looks whether a live run uses a clean path of the volume: one that is on it, or one that is on any volume of the
// environment and has this one mounted. exit.StillRunning: one does. A run that begins only now is not seen, since Modal
// has no lock for a volume.
func (v *Volume) InUse(ctx context.Context, path string) error {
	own := appOf(v.name)
	if checkRuns(v.name) != nil { // then nothing on it is a run; that it is data of others is seen all the same
		own = appOf("")
	}
	app, environment, err := v.client.FindApp(ctx, own, false)
	if err != nil {
		return err
	}
	live, err := v.liveRuns(ctx, environment, app)
	if err != nil {
		return err
	}
	if using := run.Users(path, live); len(using) > 0 {
		return v.inUse(using[0], path)
	}
	apps, err := v.client.Apps(ctx, environment)
	if err != nil {
		return err
	}
	for name, app := range apps {
		of, ours := strings.CutPrefix(name, appOf(""))
		if !ours {
			continue
		}
		on, there := v, live
		if of != v.name {
			on, err = findVolume(ctx, v.client, of)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				there, err = on.liveRuns(ctx, environment, app)
			}
			if err != nil {
				return err
			}
		}
		for _, id := range there {
			mounts, err := on.mountsOf(ctx, id)
			if err != nil {
				return err
			}
			if slices.Contains(mounts, v.name) {
				return on.inUse(id, "volume "+v.name)
			}
		}
	}
	return nil
}

func (v *Volume) inUse(id, what string) error {
	return exit.Errorf(exit.StillRunning, "run %s is still running on volume %s, and uses %s", id, v.name, what).
		Hint("Stop it first: mtt-host stop %s -b modal --volume %s", id, v.name)
}

// liveRuns returns the runs on the volume of which a Sandbox lives, and those whose supervisor is claimed and may be about
// to have one. In this order, one that gets its Sandbox meanwhile is seen all the same.
func (v *Volume) liveRuns(ctx context.Context, environment, app string) (runs []string, err error) {
	if app == "" {
		return nil, nil
	}
	entries, err := v.List(ctx, "runs", true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	runs = starting(entries)
	alive, err := v.client.Sandboxes(ctx, environment, app)
	for _, sandbox := range alive {
		if id := runOf(sandbox.Name); id != "" && !slices.Contains(runs, id) {
			runs = append(runs, id)
		}
	}
	return runs, err
}

// starting returns the runs of which a supervisor was claimed just now and has left nothing else yet.
func starting(entries []backend.Entry) (runs []string) {
	records := map[string]int{} // by the directory of the supervisor
	for _, entry := range entries {
		records[path.Dir(entry.Path)]++
	}
	for _, entry := range entries {
		parts := strings.Split(entry.Path, "/") // runs/<id>/supervisors/<n>/claim.json
		if len(parts) == 5 && parts[2] == "supervisors" && parts[4] == "claim.json" && records[path.Dir(entry.Path)] == 1 &&
			run.MayStart(entry.Modified) && !slices.Contains(runs, parts[1]) {
			runs = append(runs, parts[1])
		}
	}
	return runs
}

// mountsOf returns the volumes with data that a run has mounted.
func (v *Volume) mountsOf(ctx context.Context, id string) (volumes []string, err error) {
	entry, err := v.Stat(ctx, path.Join("runs", id, "run.json"))
	var raw bytes.Buffer
	if err == nil {
		entry.Whole = true
		err = v.Read(ctx, entry, 0, entry.Size, &raw)
	}
	if errors.Is(err, fs.ErrNotExist) { // somebody has removed it
		return nil, nil
	}
	var spec run.Spec
	if err == nil {
		err = json.Unmarshal(raw.Bytes(), &spec)
	}
	for _, of := range spec.Options.Mounts {
		volumes = append(volumes, of)
	}
	return volumes, err
}
