package tensorboard_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard/layouttest"
	"github.com/mtt-project/mtt/host/internal/tensorboard/tbtest"
)

var models = map[string]layouttest.Model{"Rust": layouttest.Rust, "Python": layouttest.Python}

// soaked is how often something random is tried: more often in `make soak`.
func soaked(usual, soak uint64) uint64 {
	if os.Getenv("MTT_SOAK") != "" {
		return soak
	}
	return usual
}

func TestBothLoadersShowExactlyTheKeptAndTheNewPoints(t *testing.T) {
	for seed := range soaked(300, 20_000) {
		experiment := layouttest.Random(seed, 6)
		files := experiment.Write(t)
		alone := []layouttest.File{layouttest.Alone(t, experiment.Final())}
		for name, shows := range models {
			if got, want := shows(files), shows(alone); !reflect.DeepEqual(got, want) {
				t.Errorf("experiment %d: the %s loader shows\n%v\nof a run left alone\n%v", seed, name, got, want)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// replay is an experiment whose files appear one after the other.
type replay struct {
	run     string
	dir     string
	files   []layouttest.File
	visible []layouttest.File
	final   []layouttest.File // of a run left alone
}

// show appends to the file of an attempt what it has up to a byte.
func (r *replay) show(t *testing.T, attempt, end int) {
	t.Helper()
	if attempt >= len(r.files) || r.files[attempt].Name == "" {
		return
	}
	f := r.files[attempt]
	if len(r.visible) == 0 || r.visible[len(r.visible)-1].Name != f.Name {
		r.visible = append(r.visible, layouttest.File{Name: f.Name})
	}
	last := &r.visible[len(r.visible)-1]
	file, err := os.OpenFile(filepath.Join(r.dir, f.Name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = file.Write(f.Content[len(last.Content):end])
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	last.Content = f.Content[:end]
}

// cut is a byte within the file of an attempt at which its process stays for a while.
func (r *replay) cut(attempt int) int {
	if attempt >= len(r.files) {
		return 0
	}
	return len(r.files[attempt].Content) * (attempt + 1) / (attempt + 3)
}

func (r *replay) size(attempt int) int {
	if attempt >= len(r.files) {
		return 0
	}
	return len(r.files[attempt].Content)
}

// wait has each server show what the model of its loader makes of the files of the runs.
func wait(servers []*tbtest.Server, replays []*replay, files func(*replay) []layouttest.File) {
	for _, server := range servers {
		model := map[tbtest.Loader]layouttest.Model{tbtest.Rust: layouttest.Rust, tbtest.Python: layouttest.Python}[server.Loader()]
		want := map[string]tbtest.Curves{}
		for _, r := range replays {
			curves := tbtest.Curves{}
			for tag, points := range model(files(r)) {
				for _, p := range points {
					curves[tag] = append(curves[tag], tbtest.Point{Step: p.Step, Value: p.Float(), WallTime: p.WallTime()})
				}
			}
			want[r.run] = curves
		}
		server.WaitAll(want)
	}
}

// The servers are opened before the first attempt, after it, and in the end, and see the files grow: each must show what
// the models say, which the test above compares with the history, and in the end the history itself.
func TestOpenTensorBoardShowsExactlyTheKeptAndTheNewPoints(t *testing.T) {
	logdir := t.TempDir()
	var replays []*replay
	attempts := 0
	for seed := range soaked(20, 500) {
		experiment := layouttest.Random(seed, 4)
		run := fmt.Sprintf("run%d", seed)
		r := &replay{run: run, dir: filepath.Join(logdir, run), files: experiment.Write(t), final: []layouttest.File{layouttest.Alone(t, experiment.Final())}}
		if err := os.Mkdir(r.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		replays = append(replays, r)
		attempts = max(attempts, len(r.files))
	}
	var servers []*tbtest.Server
	start := func() {
		for _, loader := range tbtest.Loaders {
			servers = append(servers, tbtest.Start(t, logdir, loader))
		}
	}
	start()
	visible := func(r *replay) []layouttest.File { return r.visible }
	for attempt := range attempts {
		for _, end := range []func(*replay, int) int{(*replay).cut, (*replay).size} {
			for _, r := range replays {
				r.show(t, attempt, end(r, attempt))
			}
			wait(servers, replays, visible)
		}
		if attempt == 0 {
			start()
		}
	}
	start()
	wait(servers, replays, func(r *replay) []layouttest.File { return r.final })
}
