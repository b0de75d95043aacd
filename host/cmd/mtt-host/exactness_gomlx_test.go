package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exactnessOfState is what holds for whatever an experiment learns and decides by, also one that was built outside of
// this repository: a run of it that was killed ends as one that was left alone, or mtt refuses to claim it.
var exactnessOfState = []promise{
	{"a learning rate that the graph lowers", trial("schedule").isExact},
	{"a schedule whose cycles follow from the last step", trial("cosine").isExact},
	{"a learning rate that After sets, by what is kept beside the model", trial("plateau").isExact},
	{"averages of weights that another graph keeps", trial("average").isExact},
	{"the step at which training ends early", trial("early").isExact},
	{"the step at which an error of the experiment's own ends training", trial("error").isExact},
	{"a result that is the loss of the last step", trial("last loss").isExact},
	{"a result that is the loss of the last step, killed behind that step", trial("last loss").isExactBehindTheLastStep},
	{"gradients that are accumulated", trial("accumulate").isExact},
	{"metrics that remember the steps before, in another loop", trial("metrics").isExact},
	{"a layer that is trained from some step on", trial("thaw").isExact},
	{"variables that are made late, whatever their names and shapes", trial("late").isExact},
	{"random numbers and patience in plain Go", experiment{"early", []string{"--checkpoint-every", "40"}}.isExact},

	{"a learning rate that After sets, on XLA", trial("plateau").isExactOnXLA},

	{"a variable that is frozen while it is trained is refused", trial("freezes a built graph").isRefused("/first/dense/weights has become trainable=false", "ResetComputationGraphs")},
	{"a save within a step is refused", trial("saves in After").isRefused("within a training step")},
	{"random numbers that each attempt draws before it trains are refused", trial("draws in each attempt").isRefusedOnResume("/#rngState", "run.Resume has returned 0")},
	{"weights that each attempt sets before it trains are refused", trial("sets weights in each attempt").isRefusedOnResume("/second/dense/weights", "run.Resume has returned 0")},
}

func TestExactnessOfStateSurvivesKills(t *testing.T) {
	t.Parallel()
	buildOutside(t, "early", "CGO_ENABLED=0")
	buildOutside(t, "network", "CGO_ENABLED=1")
	hold(t, exactnessOfState)
}

// experiment is one of plugins/trials with its configuration.
type experiment struct {
	plugin string
	args   []string
}

// trial is a way in which plugins/trials/network trains.
func trial(name string) experiment {
	return experiment{"network", []string{"--checkpoint-every", "4", "-S", "trial=" + name}}
}

func (e experiment) run(b *bench, name string, args ...string) []string {
	return slices.Concat([]string{"run", pluginPath(e.plugin), "--name", name}, e.args, args)
}

// isExact kills a run several times, each time at a random step, and compares it with one left alone.
func (e experiment) isExact(b *bench) {
	b.expect(0, nil, e.run(b, "alone")...)
	alone := b.outcome("alone")
	kills := 2
	if os.Getenv("MTT_SOAK") != "" {
		kills = 5
	}
	var steps []int64
	for range kills {
		steps = append(steps, rand.Int64N(b.checkpoints("alone")[0].Step))
	}
	slices.Sort(steps)
	for _, step := range steps {
		p := b.start(e.run(b, "killed")...)
		b.eventually("the run has come far enough to be killed", func() bool { return newestStep(b, "killed") >= step || !p.running() })
		p.kill()
	}
	b.expect(0, nil, e.run(b, "killed")...)
	b.equal(b.outcome("killed"), alone)
	if at, ok := alone.result["at"]; ok && b.checkpoints("killed")[0].Step != int64(at) {
		b.Errorf("training ended at step %v, and the last checkpoint is of step %d", at, b.checkpoints("killed")[0].Step)
	}
	b.Logf("killed at steps %v", steps)
}

func (e experiment) isExactOnXLA(b *bench) {
	b.env = append(b.env, "MTT_SITE="+site(b.T))
	experiment{e.plugin, append(slices.Clone(e.args), "--device", "cpu")}.isExact(b)
}

// isExactBehindTheLastStep kills a run that has trained, and has not yet returned its result.
func (e experiment) isExactBehindTheLastStep(b *bench) {
	b.expect(0, nil, e.run(b, "alone")...)
	p := b.start(e.run(b, "killed", "-S", "hang=true")...)
	p.waitFor("waits to be killed")
	p.kill()
	b.expect(0, nil, e.run(b, "killed", "-S", "hang=true")...)
	b.equal(b.outcome("killed"), b.outcome("alone"))
}

// newestStep returns the step of the newest checkpoint, 0 if there is none.
func newestStep(b *bench, run string) (newest int64) {
	for _, path := range manifests(b, run) {
		if parts := strings.Split(filepath.Base(filepath.Dir(path)), "-"); len(parts) == 3 {
			step, _ := strconv.ParseInt(parts[1], 10, 64)
			newest = max(newest, step)
		}
	}
	return newest
}

// isRefused wants the first checkpoint to be refused with these words.
func (e experiment) isRefused(words ...string) func(*bench) {
	return func(b *bench) {
		b.expect(3, words, e.run(b, "r")...)
		if checkpoints := b.checkpoints("r"); len(checkpoints) > 0 {
			b.Errorf("it was saved at step %d", checkpoints[0].Step)
		}
	}
}

// isRefusedOnResume wants an attempt that goes on from a checkpoint to be refused with these words, before its first step.
func (e experiment) isRefusedOnResume(words ...string) func(*bench) {
	return func(b *bench) {
		p := b.start(e.run(b, "r", "-S", "steps=100000")...)
		b.eventually("a checkpoint is made", func() bool { return len(manifests(b, "r")) > 0 })
		p.kill()
		saved := b.checkpoints("r")[0].Step
		b.expect(3, words, e.run(b, "r", "-S", "steps=100000")...)
		if step := b.checkpoints("r")[0].Step; step != saved {
			b.Errorf("it went on from step %d to step %d", saved, step)
		}
	}
}

// buildOutside builds an experiment of plugins/trials as one is built outside of this repository: as README.md says, but
// with the sums that the repository has, so that nothing is fetched.
func buildOutside(t *testing.T, name, env string) {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	path := filepath.Join(binaries, name)
	if exists(path) {
		return
	}
	repository, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(repository, "plugins", "trials", name))); err != nil {
		t.Fatal(err)
	}
	mod := "module example.com/mine\n\ngo 1.26.5\n"
	for _, module := range []string{"sdk", "sdk/gomlx"} {
		mod += fmt.Sprintf("require github.com/mtt-project/mtt/%s v0.0.0\n", module)
	}
	for _, module := range []string{"sdk", "sdk/gomlx", "proto"} {
		mod += fmt.Sprintf("replace github.com/mtt-project/mtt/%s => %s\n", module, filepath.Join(repository, module))
	}
	sums, err := os.ReadFile(filepath.Join(repository, "plugins", "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": mod, "go.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := build(dir, path, env, "GOWORK=off", "GOFLAGS=-mod=mod"); err != nil {
		t.Fatal(err)
	}
}
