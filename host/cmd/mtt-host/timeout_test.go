package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake"
)

const goOnLonger = "mtt-host resume r --timeout LONGER"

func TestTimeLimitStopsTheRunWithACheckpoint(t *testing.T) {
	t.Parallel()
	for name, detached := range map[string]bool{"foreground": false, "detached": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			// A step takes 1 ms and more, so the limit is reached before the end.
			walk := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=4000", "-S", "pause_us=1000", "--checkpoint-every", "100000", "--timeout", "3s"}
			if detached {
				b.expect(0, nil, append(walk, "-d")...)
				b.expect(124, []string{"run r is STOPPED: the time limit of 3s is used up"}, "wait", "r")
			} else {
				b.expect(124, []string{"the time limit of 3s is used up: saving a checkpoint", goOnLonger}, walk...)
			}
			shown, saved := b.show("r"), b.checkpoints("r")
			if shown.State != "STOPPED" || *shown.ExitCode != 124 || len(saved) != 1 || saved[0].Reason != "stop" || saved[0].Step != shown.Step {
				b.Fatalf("want STOPPED, 124, and a checkpoint of the stop at the last step; got %+v, %+v", shown, saved)
			}
			spec := b.read("runs", "r", "run.json")
			for _, again := range [][]string{{"resume", "r"}, {"resume", "r", "-d"}, {"resume", "r", "--timeout", "2s"}, walk} {
				b.expect(124, []string{"is used up", goOnLonger}, again...)
			}
			if n := len(b.show("r").Attempts); n != 1 || b.read("runs", "r", "run.json") != spec {
				b.Errorf("what was refused has changed the run, which has %d attempts", n)
			}
			b.expect(0, []string{"resumed from checkpoint " + saved[0].ID}, "resume", "r", "--timeout", "1h")
		})
	}
}

func TestTimeLimitEndsAPluginThatDoesNotStop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(124, []string{"ended before it had left by itself", goOnLonger}, "run", pluginPath("faulty"), "--name", "r",
		"--env-var", "FAULTY=ignores-cancel", "--timeout", "2s", "--stop-grace", "1s")
	if shown := b.show("r"); shown.State != "STOPPED" || *shown.ExitCode != 124 {
		b.Errorf("the run is %s with exit code %d, want STOPPED with 124", shown.State, *shown.ExitCode)
	}
	b.newestIs("r", 10)
	b.expect(0, nil, "resume", "r", "--timeout", "0", "--env-var", "FAULTY=none")
}

func TestTimeLimitLeavesNoRetry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(124, []string{"is used up, before another attempt; the last one: the experiment failed", goOnLonger}, "run", pluginPath("faulty"), "--name", "r",
		"--env-var", "FAULTY=fails-at-stop", "-S", "steps=1000000", "--timeout", "2s", "--retries", "9")
	if shown := b.show("r"); shown.State != "STOPPED" || *shown.ExitCode != 124 || len(shown.Attempts) != 1 {
		b.Errorf("want STOPPED with 124 after 1 attempt; got %+v", shown)
	}
}

var timeLimits = []promise{
	{"a time limit holds for a run whose attempts are killed again and again", func(b *bench) {
		b.killUntilTimeIsUp("-S", "pause_ms=5", "-S", "steps=1000000")
	}},
	{"and where they say nothing", func(b *bench) {
		b.killUntilTimeIsUp("-S", "pause_ms=3600000")
	}},
	{"a clock that was set ahead by ten days changes no time limit", clockIsSet(10 * 24 * time.Hour)},
	{"a clock that was set back by ten days changes no time limit", clockIsSet(-10 * 24 * time.Hour)},
	{"what a killed attempt ran is counted from its own clock", func(b *bench) {
		b.killedAfterASave()
		b.record("attempts/1/elapsed", `{"schema": "mtt.elapsed/v1", "seconds":       3600.000}`)
		b.expect(124, []string{"the time limit of 30m0s is used up"}, "resume", "r", "--timeout", "30m")
		if end := b.read("runs", "r", "attempts", "1", "end.json"); !strings.Contains(end, `"lived": "1h0m0s"`) {
			b.Errorf("the end says %s", end)
		}
		if n := len(b.show("r").Attempts); n != 1 {
			b.Errorf("there are %d attempts, want 1", n)
		}
		b.expect(0, nil, "resume", "r", "--timeout", "2h")
	}},
	{"what a machine that went down has lost of it, the checkpoint has", func(b *bench) {
		b.killedAfterASave()
		for _, file := range []string{"attempts/1/elapsed", "log/1.jsonl"} {
			b.record(file, "\x00\x00\x00\x00") // as file systems may leave what was not synced
		}
		b.expect(0, nil, "resume", "r")
		if end := b.read("runs", "r", "attempts", "1", "end.json"); strings.Contains(end, `"lived": "0s"`) {
			b.Errorf("the end says %s", end)
		}
	}},
}

func TestTimeLimitsHold(t *testing.T) { hold(t, timeLimits) }

// clockIsSet is as if a clock had been set in the middle of an attempt, before its last words.
func clockIsSet(by time.Duration) func(*bench) {
	return func(b *bench) {
		b.killedAfterASave()
		b.shift("attempts/1/claim.json", -by)
		b.expect(0, nil, "resume", "r", "--timeout", "30m")
		if end := b.read("runs", "r", "attempts", "1", "end.json"); regexp.MustCompile(`"lived": "[^"]*[hm]\d`).MatchString(end) {
			b.Errorf("the end says %s", end)
		}
	}
}

// killUntilTimeIsUp kills each attempt when it has run for a second, until there is no time left for another.
func (b *bench) killUntilTimeIsUp(args ...string) {
	b.Helper()
	command := append([]string{"run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=none", "--timeout", "3s", "--stop-grace", "1s"}, args...)
	for n := 1; n <= 3; n++ {
		p := b.start(command...)
		b.eventually("the attempt has run for a second", func() bool { return !p.running() || b.elapsed(n) >= 1 })
		if p.running() {
			p.kill()
			b.eventually("the plugin is gone", func() bool { return len(b.ours()) == 0 })
		}
		command = []string{"resume", "r"}
	}
	b.expect(124, []string{"is used up", goOnLonger}, command...)
	if n := len(b.show("r").Attempts); n > 3 {
		b.Errorf("%d attempts were made of one that has time for three", n)
	}
}

// elapsed is how many seconds attempt n of run r has run, as far as it is recorded.
func (b *bench) elapsed(n int) float64 {
	var record struct{ Seconds float64 }
	raw, _ := os.ReadFile(b.path("runs", "r", "attempts", strconv.Itoa(n), "elapsed"))
	_ = json.Unmarshal(raw, &record) // there may be none yet
	return record.Seconds
}

// killedAfterASave leaves run r killed in its first attempt, with a checkpoint.
func (b *bench) killedAfterASave() {
	b.Helper()
	p := b.start("run", pluginPath("faulty"), "--name", "r", "-S", "steps=300", "--env-var", "FAULTY=none")
	p.waitFor("saved step 5 ")
	p.kill()
	b.eventually("the plugin is gone", func() bool { return len(b.ours()) == 0 })
}

// record writes a file of run r.
func (b *bench) record(file, content string) {
	b.Helper()
	if err := os.WriteFile(b.path("runs", "r", file), []byte(content), 0o644); err != nil {
		b.Fatal(err)
	}
}

// shift adds to every time in a file of run r.
func (b *bench) shift(file string, by time.Duration) {
	b.Helper()
	b.record(file, string(regexp.MustCompile(`"time": ?"[^"]+"`).ReplaceAllFunc([]byte(b.read("runs", "r", file)), func(found []byte) []byte {
		quote := slices.Index(found[len(`"time":`):], '"') + len(`"time":`)
		at, err := time.Parse(time.RFC3339Nano, string(found[quote+1:len(found)-1]))
		if err != nil {
			b.Fatal(err)
		}
		return []byte(`"time":"` + at.Add(by).Format(time.RFC3339Nano) + `"`)
	})))
}

// The records come through the volume: of a machine that is taken away, what was synced is counted.
func TestTimeLimitOnModalCountsMachinesThatWereTakenAway(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-d", "-S", "steps=1000000", "--timeout", "6s", "--checkpoint-every", "200ms")
	m.insist("no signal before the kill", func() error {
		return m.order(modalfake.Order{Set: []modalfake.Assignment{{Name: "preempt-signal", Value: "none"}}})
	})
	for n := 1; n <= 2; n++ {
		m.until("the attempt has saved", func() bool {
			info := m.modalInfo("r")
			return len(info.Attempts) == n && info.State == "RUNNING" && info.Step > info.Attempts[n-1].ResumedStep+200
		})
		workers, _ := m.sandboxes("r")
		m.preempt("TERMINATED", workers[len(workers)-1].ID)
		m.until("the attempt has ended", func() bool {
			info := m.modalInfo("r")
			return len(info.Attempts) > n || info.State == "STOPPED"
		})
	}
	m.expect(124, []string{"the time limit of 6s is used up"}, "wait", "r")
	for n := range 2 {
		end := m.expect(0, nil, "volume", "get", "outputs", fmt.Sprintf("runs/r/attempts/%d/end.json", n+1), "-").stdout
		if strings.Contains(end, `"lived": "0s"`) {
			t.Errorf("attempt %d was killed, and is said to have run for no time: %s", n+1, end)
		}
	}
}
