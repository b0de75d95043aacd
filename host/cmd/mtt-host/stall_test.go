package main_test

import "testing"

func TestPluginThatStallsIsEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(70, []string{"the plugin has stalled: after step 10, no metric", "for 2s", "mtt-host logs bad", "mtt-host resume bad --stall 1h"},
		"run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=ignores-cancel", "--stall", "2s")
	if shown := b.show("bad"); shown.State != "FAILED" || *shown.ExitCode != 70 {
		b.Errorf("the run is %s with exit code %d, want FAILED with 70", shown.State, *shown.ExitCode)
	}
	b.newestIs("bad", 10)
	b.expect(0, nil, "resume", "bad", "--env-var", "FAULTY=none")
}

// What takes 5 s in it are the lines alone, and then the save alone.
func TestPluginThatPrintsOrSavesHasNotStalled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(0, []string{"plugin: loading"}, "run", pluginPath("faulty"), "--name", "slow", "--env-var", "FAULTY=slow", "--stall", "3s")
	b.verify("slow")
}

// The second attempt has no step left to hang behind.
func TestStallIsRetried(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(0, []string{"attempt FAILED: the plugin has stalled", "attempt 2 of run bad", "at step 10"},
		"run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=ignores-cancel", "--stall", "1s", "--retries", "1", "-S", "steps=10")
}
