package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestStopEndsARunOnModalAndResumeGoesOn(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	alone := m.aloneHere(strolls()...)
	m.expect(0, nil, strolls("--name", "r", "-d")...)
	m.saved("r", 150)
	if said := m.elsewhere().expect(0, nil, "stop", "r").stdout; !strings.HasPrefix(said, "r STOPPED at step ") {
		m.Errorf("stop has printed %q", said)
	}
	m.expect(6, []string{"run r is STOPPED", "stopped by mtt-host stop"}, "wait", "r")
	info, last := m.show("r"), m.checkpoints("r")[0]
	if info.State != "STOPPED" || *info.ExitCode != 6 || last.Step != info.Step || last.Step >= 1500 {
		m.Fatalf("want STOPPED at the step of the last checkpoint; got %+v, %+v", info, last)
	}
	m.expect(6, []string{"run r is STOPPED", "mtt-host resume r"}, "attach", "r")
	m.expect(0, nil, "stop", "r") // again, which changes nothing
	m.expect(0, []string{"going on with run r", "resumed from checkpoint " + last.ID, fmt.Sprintf("at step %d\n", last.Step)}, strolls()...)
	m.equal(m.end("r"), alone)

	// At once: what was saved stays, and nothing is saved besides.
	m.expect(0, nil, strolls("--name", "s", "-d", "--checkpoint-every", "300")...)
	m.saved("s", 300)
	m.expect(0, nil, "stop", "s", "--now")
	m.expect(6, []string{"run s is STOPPED"}, "wait", "s")
	if last := m.checkpoints("s")[0]; last.Step%300 != 0 || last.Reason != "periodic" {
		m.Errorf("stop --now has left %+v as the last checkpoint", last)
	}
	m.expect(0, []string{"resumed from checkpoint"}, "resume", "s")
	m.equal(m.end("s"), alone)
}

func TestStopReachesARunOnModalWhoseSupervisorIsDead(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	m.fake.Tell(t, "preempt", supervisorName("r", 1))
	m.until("the supervisor is missed", func() bool {
		return strings.Contains(m.modalInfo("r").Warning, "mtt-host resume r")
	})
	if warned := m.expect(0, nil, "show", "r").stdout; !strings.Contains(warned, "its supervisor has left") {
		m.Errorf("show does not warn:\n%s", warned)
	}
	m.expect(0, []string{"warning: run r: its supervisor has left", "mtt-host resume r"}, "ls")
	for _, args := range [][]string{{"attach", "r"}, {"wait", "r"}, {"logs", "r", "-f"}} {
		p := m.start(args...)
		p.waitFor("warning: run r: its supervisor has left")
		p.signal(syscall.SIGINT)
		if r := p.wait(); !strings.Contains(r.stderr, "mtt-host resume r") {
			m.Errorf("%q: %v", args, r)
		}
	}
	m.expect(0, nil, "stop", "r")
	m.expect(6, []string{"run r is STOPPED"}, "wait", "r")
	if info, last := m.show("r"), m.checkpoints("r")[0]; last.Step != info.Step {
		m.Errorf("the last checkpoint is at step %d, and the run at %d", last.Step, info.Step)
	}
	// What was asked for while there was a supervisor does not get lost with it.
	m.expect(0, nil, "resume", "r", "-d")
	m.is("r", "RUNNING")
	m.fake.Tell(t, "set", "delay=3s") // the supervisor does not come to look
	p := m.start("stop", "r")
	m.until("it is asked for", func() bool {
		return strings.Contains(m.fake.MustModal(t, "volume", "ls", "outputs", "/runs/r"), "stop.json")
	})
	m.fake.Tell(t, "preempt", supervisorName("r", 2))
	m.fake.Tell(t, "set", "delay=0s")
	m.check(p.wait(), 0)
	m.expect(6, []string{"run r is STOPPED"}, "wait", "r")
}

// What an earlier life of a run has ended of is still there when the next has just begun, and is no request to that one.
func TestStopRightAfterResumeIsHeard(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	m.expect(0, nil, "stop", "r")
	request := m.expect(0, nil, "volume", "get", "outputs", "runs/r/stop.json", "-").stdout
	followed := filepath.Join(filepath.Dir(m.tmp), "stop.json") // as one that came between two attempts
	if err := os.WriteFile(followed, []byte(strings.Replace(request, "{", `{"followed": true,`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	m.fake.Tell(t, "set", "start-delay=2s") // the next supervisor finds it, and the stop too
	for _, old := range []string{"followed by an attempt", "followed between two"} {
		if old == "followed between two" {
			m.expect(0, nil, "volume", "put", "--force", "outputs", followed, "runs/r/stop.json")
		}
		m.expect(0, nil, "resume", "r", "-d")
		if said := m.expect(0, nil, "stop", "r").stdout; !strings.HasPrefix(said, "r STOPPED at step ") {
			t.Errorf("with a request that was %s, stop has printed %q", old, said)
		}
		m.expect(6, []string{"run r is STOPPED"}, "wait", "r")
	}
}

// What an attempt ends with that could write it down itself is what the run ends with.
func TestExperimentThatFailsOnModal(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	faulty := func(fault string, more ...string) []string {
		return append([]string{"run", pluginPath("faulty"), "--name", fault, "--env-var", "FAULTY=" + fault}, more...)
	}
	for _, detached := range [][]string{faulty("error"), faulty("panic"), faulty("error-twice", "--retries", "2"), faulty("killed"), faulty("ignores-cancel", "--stall", "2s"),
		faulty("ignores-cancel", "--name", "stalled-once", "--stall", "1s", "--retries", "1", "-S", "steps=10")} {
		m.expect(0, nil, append(detached, "-d")...)
	}
	for fault, want := range map[string]struct {
		code     int
		state    string
		attempts int
		says     string
	}{
		"error":       {3, "FAILED", 1, "the experiment's own failure"},
		"panic":       {70, "FAILED", 1, "index out of range"},
		"error-twice": {0, "SUCCEEDED", 3, ""},
		"killed":      {0, "SUCCEEDED", 2, ""}, // by the machine, as far as anybody can tell
		// A stall is the experiment's own, here as at home.
		"ignores-cancel": {70, "FAILED", 1, "the plugin has stalled"},
		"stalled-once":   {0, "SUCCEEDED", 2, ""}, // the second attempt has no step left to hang behind
	} {
		m.expect(want.code, []string{want.says}, "wait", fault)
		info := m.show(fault)
		if info.State != want.state || *info.ExitCode != want.code || len(info.Attempts) != want.attempts {
			m.Errorf("%s: %s with exit code %d after %d attempts (%s), want %+v", fault, info.State, *info.ExitCode, len(info.Attempts), info.Error, want)
		}
		logged := m.events(m.expect(0, nil, "logs", fault, "-o", "json").stdout)
		m.whole("the log of "+fault, logged)
		if want.code == 0 {
			continue
		}
		attached := m.expect(want.code, []string{want.says, "mtt-host resume " + fault}, "attach", fault)
		if attached.stdout != "" {
			m.Errorf("attach has printed %q", attached.stdout)
		}
	}
	m.expect(3, []string{"run error has failed", "mtt-host resume error"}, faulty("error")...)
	m.expect(0, []string{"resumed from checkpoint"}, "resume", "error", "--env-var", "FAULTY=none")
}

func TestAttemptsThatAreTakenAwayBeforeTheyHaveSavedAreNotRepeatedForEver(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d", "--checkpoint-every", "1h")...)
	following := m.start("logs", "r", "-f", "-o", "json")
	statuses := []string{"TERMINATED", "SUCCESS", "FAILURE"}
	for attempt := 1; attempt <= 3; attempt++ {
		m.until(fmt.Sprintf("attempt %d trains", attempt), func() bool {
			info := m.show("r")
			return info.State == "RUNNING" && len(info.Attempts) == attempt
		})
		m.fake.Tell(t, "preempt", sandboxName("r"), "--status", statuses[attempt-1])
	}
	m.expect(75, []string{"3 attempts in a row have ended without progress", "mtt-host logs r", "mtt-host resume r"}, "wait", "r")
	if said := m.expect(0, nil, "show", "r").stdout; !strings.Contains(said, "INTERRUPTED") || !strings.Contains(said, "mtt-host resume r") {
		m.Errorf("show says\n%s", said)
	}
	// Each attempt's cause is where one is told to look: in the log, that of the last too, and in show.
	followed := m.events(following.wait().stdout)
	logged := m.events(m.expect(0, nil, "logs", "r", "-o", "json").stdout)
	if fmt.Sprint(followed) != fmt.Sprint(logged) {
		m.Errorf("followed\n%v\nand logged is\n%v", followed, logged)
	}
	info := m.show("r")
	_, supervisors := m.sandboxes("r")
	said := m.printed()[supervisors[0].ID]
	for attempt := 1; attempt < 3; attempt++ {
		if back := fmt.Sprintf("attempt %d: the next attempt begins in %ds", attempt, attempt); !strings.Contains(said, back) {
			m.Errorf("the supervisor does not say %q, but\n%s", back, said)
		}
	}
	for i, status := range statuses {
		if cause := info.Attempts[i].Cause; !strings.Contains(cause, status) {
			m.Errorf("show says of attempt %d that %q, want %s", i+1, cause, status)
		}
		if !slices.ContainsFunc(logged, func(e event) bool {
			return e.Attempt == i+1 && e.Kind == "ended" && strings.Contains(e.Message, status)
		}) {
			m.Errorf("the log does not say how attempt %d ended, %s: %v", i+1, status, logged)
		}
	}
	m.expect(0, nil, "resume", "r", "-d")
	m.is("r", "RUNNING")
	m.expect(0, nil, "stop", "r", "--now")
}

// What the host prints is also what is there when it is asked for from the directory of another machine.
func TestCommandsForARunOnModalNeedNoOutputsHere(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(5, []string{"there is no volume outputs on Modal", "mtt-host run PLUGIN -b modal"}, "ls")
	m.expect(5, []string{"there is no volume outputs on Modal"}, "resume", "r")
	if said := m.fake.MustModal(t, "volume", "list"); strings.Contains(said, "outputs") {
		m.Errorf("a command that only looks, or goes on, has made a volume:\n%s", said)
	}
	m.expect(2, []string{`"r.s1"`, "Choose a name that does not end in .s and a number"}, endless("--name", "r.s1", "-d")...)
	m.expect(0, nil, strolls("--name", "r")...)
	if _, err := os.Stat(m.outputs); !os.IsNotExist(err) {
		m.Errorf("a run on Modal has made outputs here: %v", err)
	}
}
