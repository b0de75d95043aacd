package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// twoSeconds is a run of walk that takes about so long.
func twoSeconds(name string, more ...string) []string {
	return append([]string{"run", pluginPath("walk"), "--name", name, "-S", "steps=2000", "--checkpoint-every", "100"}, more...)
}

// supervisor is the process that lives a detached run.
func (b *bench) supervisor(run string) int {
	b.Helper()
	attempts := b.show(run).Attempts
	var claim struct{ PID int }
	raw := b.read("runs", run, "attempts", strconv.Itoa(len(attempts)), "claim.json")
	if err := json.Unmarshal([]byte(raw), &claim); err != nil {
		b.Fatal(err)
	}
	return claim.PID
}

func TestDetachedRunOutlivesItsTerminalAndIsReachedFromElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(0, nil, twoSeconds("alone")...)

	p := b.start(twoSeconds("d", "-d")...)
	r := p.wait()
	b.check(r, 0, "mtt-host attach d", "mtt-host wait d", "mtt-host stop d")
	if r.stdout != "d\n" {
		b.Errorf("stdout holds %q, want the name alone", r.stdout)
	}
	if state := b.show("d").State; state != "RUNNING" {
		b.Errorf("it is %s once its name is printed, want RUNNING", state)
	}
	// The terminal goes, and takes all that is in its session with it.
	supervisor := b.supervisor("d")
	session, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(supervisor), 0, 0)
	if int(session) != supervisor {
		b.Errorf("its session is %d, and must be its own, %d", session, supervisor)
	}
	if err := syscall.Kill(supervisor, syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	b.expect(7, []string{"run d is still running"}, "resume", "d")

	watching := b.start("attach", "d")
	watching.waitFor("attempt 1 of run d")
	watching.waitFor("saved step ")
	watching.signal(syscall.SIGINT)
	b.check(watching.wait(), 130, "left run d, which goes on", "mtt-host attach d")
	watching = b.start("attach", "d")
	following := b.start("logs", "d", "-f", "-o", "json")
	waited := b.expect(0, nil, "wait", "d", "alone")
	if lines := strings.Split(waited.stdout, "\n"); !strings.HasPrefix(lines[0], "d SUCCEEDED: ") || !strings.HasPrefix(lines[1], "alone SUCCEEDED: ") {
		b.Errorf("wait has printed %q", waited.stdout)
	}
	watched := watching.wait()
	b.check(watched, 0, "saved step 2000 (final", "mtt-host show d")
	if !strings.HasPrefix(watched.stdout, "d SUCCEEDED: ") {
		b.Errorf("attach has printed %q", watched.stdout)
	}
	b.equal(b.outcome("d"), b.outcome("alone"))

	// What was followed is the log, each line once.
	var followed []map[string]any
	for line := range strings.Lines(following.wait().stdout) {
		followed = append(followed, decode[map[string]any](b, line))
	}
	if written := b.log("d", 1); fmt.Sprint(followed) != fmt.Sprint(written) {
		b.Errorf("followed %d events, and %d were written: %v", len(followed), len(written), followed)
	}
}

func TestDetachedRunGoesOnWhenItsSupervisorWasKilled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(0, nil, twoSeconds("alone")...)
	b.expect(0, nil, twoSeconds("d", "-d")...)
	for attempt := 1; attempt <= 3; attempt++ {
		b.eventually("there is a new checkpoint", func() bool {
			return slices.ContainsFunc(b.checkpoints("d"), func(c checkpointInfo) bool { return c.Step >= int64(attempt)*200 })
		})
		if err := syscall.Kill(b.supervisor("d"), syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		b.expect(75, []string{"run d is INTERRUPTED", "mtt-host was killed"}, "wait", "d")
		b.expect(0, []string{"going on with run d"}, twoSeconds("d", "-d")...)
	}
	b.expect(0, nil, "wait", "d")
	b.equal(b.outcome("d"), b.outcome("alone"))
	logged := b.expect(0, nil, "logs", "d").stdout
	for attempt := 1; attempt <= 4; attempt++ {
		if began := fmt.Sprintf("#%d  attempt %d of run d", attempt, attempt); strings.Count(logged, began) != 1 {
			b.Errorf("logs does not have %q once:\n%s", began, logged)
		}
	}
}

func TestStopEndsARunFromElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		detach, now bool
	}{
		"detached": {true, false}, "detached, now": {true, true}, "foreground": {false, false}, "foreground, now": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			args := []string{"run", pluginPath("walk"), "--name", "r", "-S", "steps=1000000", "--checkpoint-every", "50"}
			var p *process
			if c.detach {
				b.expect(0, nil, append(args, "-d")...)
			} else {
				p = b.start(args...)
			}
			b.eventually("there is a checkpoint", func() bool { return len(manifests(b, "r")) > 0 })
			stop := []string{"stop", "r"}
			if c.now {
				stop = append(stop, "--now")
			}
			if said := b.expect(0, nil, stop...).stdout; !strings.HasPrefix(said, "r STOPPED at step ") {
				b.Errorf("stop has printed %q", said)
			}
			if p != nil {
				b.check(p.wait(), 6)
			}
			b.expect(6, []string{"run r is STOPPED"}, "wait", "r")
			b.stoppedBy("r", c.now)
			if last := b.checkpoints("r")[0]; !c.now && last.Step != b.show("r").Step {
				b.Errorf("the last checkpoint is at step %d, and the run at %d", last.Step, b.show("r").Step)
			}
			b.expect(0, nil, "stop", "r") // again, which changes nothing
			resumed := b.start("resume", "r")
			resumed.waitFor("resumed from checkpoint")
			time.Sleep(time.Second) // an old request must not end it
			if !resumed.running() {
				b.Fatalf("the resumed run has ended: %v", resumed.wait())
			}
			b.expect(0, nil, "stop", "r")
			b.check(resumed.wait(), 6)
		})
	}
}

func TestDetachedRunThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.expect(75, []string{"before its handshake", "killed by signal 9"},
		"run", pluginPath("faulty"), "-d", "--name", "bad", "--env-var", "FAULTY=killed-at-start")
	if r.stdout != "" {
		b.Errorf("stdout holds %q", r.stdout)
	}
	args := b.stopped("r")
	for _, manifest := range manifests(b, "r") {
		cut(t, manifest)
	}
	b.expect(66, []string{"run r cannot go on", "mtt-host run PLUGIN --new"}, append(args, "-d")...)
}

func TestLogsBeginWhereTheyAreAskedTo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.expect(0, nil, walk("--name", "r", "--checkpoint-every", "5")...)
	all := strings.Split(strings.TrimSpace(b.expect(0, nil, "logs", "r").stdout), "\n")
	if len(all) < 5 || !strings.Contains(all[0], "attempt 1 of run r") || !strings.HasSuffix(all[len(all)-1], "attempt finished") {
		b.Fatalf("logs has printed %q", all)
	}
	if got := b.expect(0, nil, "logs", "r", "-n", "2").stdout; got != strings.Join(all[len(all)-2:], "\n")+"\n" {
		b.Errorf("-n 2 has printed %q", got)
	}
	if got := b.expect(0, nil, "logs", "r", "--since", "1h").stdout; strings.Count(got, "\n") != len(all) {
		b.Errorf("--since 1h has printed %q", got)
	}
	if got := b.expect(0, nil, "logs", "r", "--since", time.Now().Add(time.Hour).Format(time.RFC3339)).stdout; got != "" {
		b.Errorf("--since a time to come has printed %q", got)
	}
	b.expect(2, []string{"--since yesterday", "10m"}, "logs", "r", "--since", "yesterday")
	b.expect(5, []string{"no run nosuch"}, "logs", "nosuch")
	b.expect(5, []string{"no run nosuch"}, "attach", "nosuch")
	b.expect(5, []string{"no run nosuch"}, "wait", "r", "nosuch")
	b.expect(5, []string{"no run nosuch"}, "stop", "nosuch")
	if torn := b.path("runs", "r", "log", "1.jsonl"); os.Truncate(torn, int64(len(b.read("runs", "r", "log", "1.jsonl"))-20)) != nil {
		b.Fatal("cannot tear ", filepath.Base(torn))
	}
	// How the attempt ended is in end.json as well.
	if got := b.expect(0, nil, "logs", "r").stdout; strings.Count(got, "\n") != len(all) || !strings.HasSuffix(got, "attempt finished\n") {
		b.Errorf("of a torn log it prints %q", got)
	}
}
