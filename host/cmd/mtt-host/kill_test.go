package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
	"github.com/mtt-project/mtt/host/internal/tensorboard/tbtest"
)

// victim is an experiment to be killed: how it is run, how long it trains alone, and how many kills it must survive,
// in every test run and in `make soak`.
type victim struct {
	plugin      string
	args        []string
	alone       time.Duration // about; where in it the kills fall
	kills, soak int
}

var victims = []victim{
	{"walk", []string{"--exact", "-S", "steps=1000", "--checkpoint-every", "20"}, 900 * time.Millisecond, 20, 500},
	{"train", []string{"--exact", "-S", "steps=300", "--checkpoint-every", "10"}, 1500 * time.Millisecond, 5, 50},
}

// outcome is what must not depend on kills.
type outcome struct {
	stateHash string
	result    map[string]float64
	curves    tbtest.Curves
}

func (b *bench) outcome(run string) outcome {
	b.Helper()
	info := b.show(run)
	if info.State != "SUCCEEDED" || len(info.Result) == 0 {
		b.Fatalf("run %s is %s with result %v", run, info.State, info.Result)
	}
	if !info.Exact {
		b.Errorf("run %s is not claimed to be exact", run)
	}
	last := b.checkpoints(run)[0]
	if last.Reason != "final" {
		b.Errorf("the newest checkpoint of run %s has reason %s", run, last.Reason)
	}
	return outcome{last.StateHash, info.Result, b.curves(run)}
}

// curves are those that the event files of a run tell.
func (b *bench) curves(run string) tbtest.Curves {
	b.Helper()
	read, err := tensorboard.Curves(b.path("runs", run))
	if err != nil {
		b.Fatal(err)
	}
	curves := tbtest.Curves{}
	for tag, points := range read {
		for _, p := range points {
			curves[tag] = append(curves[tag], tbtest.Point{Step: p.Step, Value: p.Value})
		}
	}
	if len(curves) == 0 {
		b.Fatalf("run %s has no curve", run)
	}
	return curves
}

func (b *bench) equal(got, want outcome) {
	b.Helper()
	if got.stateHash != want.stateHash {
		b.Errorf("state_hash is %s, and that of a run left alone %s", got.stateHash, want.stateHash)
	}
	if !maps.Equal(got.result, want.result) {
		b.Errorf("the result is %v, and that of a run left alone %v", got.result, want.result)
	}
	if difference := tbtest.Difference(got.curves, want.curves); difference != "" {
		b.Errorf("the curves are not those of a run left alone:%s", difference)
	}
}

func (v victim) run(b *bench, name string) []string {
	return append([]string{"run", pluginPath(v.plugin), "--name", name}, v.args...)
}

func TestKillAtAnyMomentCostsNothing(t *testing.T) {
	t.Parallel()
	for _, v := range victims {
		t.Run(v.plugin, func(t *testing.T) {
			t.Parallel()
			v.survives(t, newBench(t))
		})
	}
}

// survives kills runs of the victim at random moments, as often as it must survive, and compares each, as the files and
// both loaders of an open TensorBoard tell it, with a run left alone.
func (v victim) survives(t *testing.T, b *bench) {
	b.expect(0, nil, v.run(b, "alone")...)
	alone := b.outcome("alone")
	var servers []*tbtest.Server
	for _, loader := range tbtest.Loaders {
		servers = append(servers, tbtest.Start(t, b.path("runs"), loader))
	}
	kills := v.kills
	if os.Getenv("MTT_SOAK") != "" {
		kills = v.soak
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	killed, runs := 0, 0
	for killed < kills {
		name := fmt.Sprintf("killed%d", runs) // a run lives through some of the kills, then another takes over
		runs++
		killed += v.killUntilItEnds(b, name, kills-killed, random)
		b.equal(b.outcome(name), alone)
		for _, server := range servers {
			server.Wait(name, alone.curves)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d kills over %d runs, seed %d", killed, runs, seed)
}

// killUntilItEnds kills the run at up to most random moments, and lets it end. It returns the number of kills.
func (v victim) killUntilItEnds(b *bench, name string, most int, random *rand.Rand) (kills int) {
	b.Helper()
	for attempt := 1; ; attempt++ {
		p := b.start(v.run(b, name)...)
		if kills < most {
			time.Sleep(time.Duration(random.Int64N(int64(v.alone))))
		}
		if kills >= most || !p.running() {
			b.check(p.wait(), 0)
			return kills
		}
		plugin := b.pluginPID(name, attemptsOf(b, name))
		target := random.IntN(3)
		if plugin == 0 {
			target = 0 // it has not started
		}
		if target != 0 {
			_ = syscall.Kill(plugin, syscall.SIGKILL)
		}
		if target != 1 {
			p.kill()
		}
		r := p.wait()
		if target == 1 && r.code != 75 && r.code != 0 { // 0: it was on its way out
			b.Fatalf("after its plugin was killed, the host ended so: %v", r)
		}
		kills++
	}
}

// attemptsOf counts the attempts that were claimed.
func attemptsOf(b *bench, run string) int {
	claims, _ := filepath.Glob(b.path("runs", run, "attempts", "*", "claim.json"))
	return len(claims)
}

// moment is a point of a save that a kill must hit.
type moment struct {
	name string
	// reached looks at the volume, and says that it is time to kill.
	reached func(b *bench, run string) bool
	// hit says, after the kill, whether the moment was really it.
	hit func(b *bench, run string) bool
}

var moments = []moment{
	{
		name:    "while saving",
		reached: func(b *bench, run string) bool { return len(unfinished(b, run)) > 0 },
		hit:     func(b *bench, run string) bool { return len(unfinished(b, run)) > 0 },
	},
	{
		name:    "between manifest and acknowledgement",
		reached: func(b *bench, run string) bool { return len(manifests(b, run)) > 0 },
		hit: func(b *bench, run string) bool {
			return len(manifests(b, run)) > len(savedEvents(b, run, 1))
		},
	},
	{
		name:    "between the final checkpoint and the result",
		reached: finalManifest,
		hit: func(b *bench, run string) bool {
			_, err := os.Stat(b.path("runs", run, "result.json"))
			return finalManifest(b, run) && os.IsNotExist(err)
		},
	},
}

func manifests(b *bench, run string) []string {
	found, _ := filepath.Glob(b.path("checkpoints", run, "*", "MANIFEST.json"))
	return found
}

// unfinished are the checkpoint directories that have no manifest.
func unfinished(b *bench, run string) (found []string) {
	directories, _ := filepath.Glob(b.path("checkpoints", run, "*"))
	for _, directory := range directories {
		if _, err := os.Stat(filepath.Join(directory, "MANIFEST.json")); err != nil {
			found = append(found, directory)
		}
	}
	return found
}

func finalManifest(b *bench, run string) bool {
	for _, path := range manifests(b, run) {
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), `"reason": "final"`) {
			return true
		}
	}
	return false
}

func savedEvents(b *bench, run string, attempt int) (saved []map[string]any) {
	for _, event := range b.log(run, attempt) {
		if event["kind"] == "saved" {
			saved = append(saved, event)
		}
	}
	return saved
}

func TestKillAtTheWorstMomentsCostsNothing(t *testing.T) {
	v := victim{plugin: "walk", args: []string{"-S", "steps=60", "-S", "walkers=200000", "-S", "pause_us=0", "--checkpoint-every", "30"}}
	for _, m := range moments {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.expect(0, nil, v.run(b, "alone")...)
			alone := b.outcome("alone")
			const tries = 60 // the moments are shorter than a millisecond
			for try := range tries {
				name := fmt.Sprintf("killed%d", try)
				p := b.start(v.run(b, name)...)
				for p.running() && !m.reached(b, name) {
				}
				p.kill()
				if !m.hit(b, name) {
					continue
				}
				attempts := attemptsOf(b, name)
				b.expect(0, nil, v.run(b, name)...)
				b.equal(b.outcome(name), alone)
				if m.name == "between the final checkpoint and the result" && attemptsOf(b, name) != attempts {
					t.Errorf("the run was trained once more, though its final checkpoint was there")
				}
				t.Logf("hit in try %d", try+1)
				return
			}
			t.Errorf("the moment was not hit in %d tries", tries)
		})
	}
}

func TestPluginLeavesAndLockIsFreeWhenTheHostIsKilled(t *testing.T) {
	b := newBench(t)
	args := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=100000"}
	p := b.start(args...)
	p.waitFor("attempt 1")
	b.expect(7, []string{"still running"}, args...)
	b.expect(7, []string{"still running"}, "resume", "r")
	if state := b.show("r").State; state != "RUNNING" {
		t.Errorf("the run is %s", state)
	}
	plugin := b.pluginPID("r", 1)
	p.kill()
	for deadline := time.Now().Add(5 * time.Second); syscall.Kill(plugin, 0) == nil; time.Sleep(time.Millisecond) {
		if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", plugin)); strings.Contains(string(stat), ") Z ") {
			break // dead, and waiting for somebody to reap it
		}
		if time.Now().After(deadline) {
			t.Fatal("the plugin lives 5 s after its host was killed")
		}
	}
	if state := b.show("r").State; state != "INTERRUPTED" {
		t.Errorf("the run is %s", state)
	}
	next := b.start(args...)
	next.waitFor("attempt 2")
	next.signal(syscall.SIGINT)
	b.check(next.wait(), 130)
}

// What a plugin has started does not outlive a host that was killed; the bench looks for it, by its TMPDIR.
func TestChildOfThePluginDiesWithTheHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.start("run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=ignores-cancel")
	b.eventually("the plugin has a child", func() bool { return exists(b.path("files", "bad", "child")) })
	p.kill()
}

func TestAttemptThatAnotherSupersededIsNeverResumedFrom(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	args := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=400", "--checkpoint-every", "50"}
	b.expect(0, nil, "run", pluginPath("walk"), "--name", "alone", "-S", "steps=400", "--checkpoint-every", "50")
	b.expect(0, nil, args...)
	// As a zombie's late commit would look: the checkpoints stay, and the history says that attempt 1 was superseded at
	// step 0 by an attempt that died before it saved.
	if err := os.Remove(b.path("runs", "r", "result.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.path("runs", "r", "attempts", "2"), 0o755); err != nil {
		t.Fatal(err)
	}
	claim, err := json.Marshal(map[string]any{"schema": "mtt.claim/v1", "attempt": 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path("runs", "r", "attempts", "2", "claim.json"), claim, 0o644); err != nil {
		t.Fatal(err)
	}
	b.expect(0, []string{"attempt 3", "from step 0"}, args...)
	b.equal(b.outcome("r"), b.outcome("alone"))
}
