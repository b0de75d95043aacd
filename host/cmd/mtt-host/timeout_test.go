package main_test

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"
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

// The clock is that of the records, so a test can turn it back.
func TestTimeLimitCountsWhatAKilledAttemptLivedAndNoMore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.start("run", pluginPath("faulty"), "--name", "r", "-S", "steps=300", "--env-var", "FAULTY=none", "--timeout", "30m")
	p.waitFor("saved step 5 ")
	p.kill()
	b.eventually("the plugin is gone", func() bool { return len(b.ours()) == 0 })

	b.age("attempts/1/claim.json") // as if the attempt had begun an hour before it was killed
	b.expect(124, []string{"the time limit of 30m0s is used up"}, "resume", "r")
	if n := len(b.show("r").Attempts); n != 1 {
		b.Errorf("there are %d attempts, want 1", n)
	}
	// The refusal has recorded how long the attempt lived; as if nothing had.
	if err := os.Remove(b.path("runs", "r", "attempts", "1", "end.json")); err != nil {
		t.Fatal(err)
	}
	b.age("log/1.jsonl") // and as if it had been killed an hour ago
	b.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
}

// age makes every time in a file of run r an hour older.
func (b *bench) age(file string) {
	b.Helper()
	text := regexp.MustCompile(`"time": ?"[^"]+"`).ReplaceAllFunc([]byte(b.read("runs", "r", file)), func(found []byte) []byte {
		quote := slices.Index(found[len(`"time":`):], '"') + len(`"time":`)
		at, err := time.Parse(time.RFC3339Nano, string(found[quote+1:len(found)-1]))
		if err != nil {
			b.Fatal(err)
		}
		return []byte(`"time":"` + at.Add(-time.Hour).Format(time.RFC3339Nano) + `"`)
	})
	if err := os.WriteFile(b.path("runs", "r", file), text, 0o644); err != nil {
		b.Fatal(err)
	}
}
