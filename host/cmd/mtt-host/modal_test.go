package main_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// elsewhere is the same account on another machine: nothing is there that an earlier command has kept.
func (m *modalBench) elsewhere() *modalBench {
	m.Helper()
	b := *m.bench
	other := &modalBench{&b, m.fake}
	other.connect(m.TempDir())
	return other
}

// saved waits until a run has a checkpoint of such a step.
func (m *modalBench) saved(run string, step int64) {
	m.Helper()
	m.until(fmt.Sprintf("%s has saved step %d", run, step), func() bool {
		saved := m.checkpoints(run)
		return len(saved) > 0 && saved[0].Step >= step
	})
}

// is waits until a run is in a state.
func (m *modalBench) is(run, state string) modalInfo {
	m.Helper()
	var info modalInfo
	m.until(run+" is "+state, func() bool {
		info = m.modalInfo(run)
		return info.State == state
	})
	return info
}

// modalInfo is what show prints of a run on Modal besides.
type modalInfo struct {
	runInfo
	Backend    string   `json:"backend"`
	Waiting    string   `json:"waiting"`
	Warning    string   `json:"warning"`
	Next       string   `json:"next"`
	AppID      string   `json:"app_id"`
	Dashboard  string   `json:"dashboard"`
	SandboxIDs []string `json:"sandbox_ids"`
}

func (m *modalBench) modalInfo(run string) modalInfo {
	m.Helper()
	return decode[modalInfo](m.bench, m.expect(0, nil, "show", run, "-o", "json").stdout)
}

// event is a line of a log.
type event struct {
	Attempt    int
	Seq        int
	Kind       string
	Message    string
	Step       int64
	Checkpoint string
}

func (m *modalBench) events(lines string) (events []event) {
	m.Helper()
	for line := range strings.Lines(lines) {
		events = append(events, decode[event](m.bench, line))
	}
	return events
}

// whole wants the events of each attempt to be numbered from 1 without gaps or repetitions, as far as they have a number.
func (m *modalBench) whole(what string, events []event) {
	m.Helper()
	last := event{Attempt: 1}
	for _, e := range events {
		next := e.Attempt == last.Attempt && e.Seq == last.Seq+1
		if !next && !(e.Attempt == last.Attempt+1 && e.Seq == 1) && e.Seq != 0 {
			m.Errorf("%s has event %d of attempt %d behind event %d of attempt %d", what, e.Seq, e.Attempt, last.Seq, last.Attempt)
		}
		if e.Seq != 0 {
			last = e
		}
	}
}

// sandboxName is the name of the Sandbox that lives a run's attempt, and supervisorName that of its supervisor.
func sandboxName(run string) string { return "mtt-" + run }

func supervisorName(run string, n int) string { return fmt.Sprintf("mtt-%s.s%d", run, n) }

// end is how a run has ended, to be compared with one that was left alone.
func (m *modalBench) end(run string) outcome {
	m.Helper()
	m.fetch(run)
	return m.outcome(run)
}

// aloneHere lives the same run on this machine, undisturbed.
func (m *modalBench) aloneHere(args ...string) outcome {
	m.Helper()
	b := *m.bench
	b.env = nil
	// How long it waits in each step changes the configuration, and nothing that is compared.
	b.expect(0, nil, append(slices.Clone(args), "--name", "alone", "-S", "pause_us=0")...)
	return b.outcome("alone")
}

// strolls are the arguments of a run that takes a few seconds; the name is given behind.
func strolls(more ...string) []string {
	return append([]string{"run", pluginPath("walk"), "-S", "steps=1500", "-S", "walkers=64", "-S", "pause_us=2000", "--checkpoint-every", "150"}, more...)
}

// endless are those of a run that does not end by itself.
func endless(more ...string) []string {
	return append([]string{"run", pluginPath("walk"), "-S", "steps=100000000", "-S", "walkers=64", "-S", "pause_us=2000", "--checkpoint-every", "100"}, more...)
}

func TestRunOnModalIsLikeOneAtHome(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "drop-streams=0.2", "repeat-streams=0.2")
	alone := m.aloneHere(strolls()...)

	r := m.expect(0, []string{"mtt-host attach r", "mtt-host wait r", "mtt-host stop r", "sending "}, strolls("--name", "r", "-d")...)
	if r.stdout != "r\n" {
		m.Errorf("stdout holds %q, want the name alone", r.stdout)
	}
	following := m.start("logs", "r", "-f", "-o", "json")
	m.expect(7, []string{"run r is still running", "mtt-host attach r"}, "resume", "r")
	m.expect(7, []string{"run r is still running"}, strolls("--name", "r")...)
	watching := m.start("attach", "r")
	watching.waitFor("attempt 1 of run r")
	watching.waitFor("saved step ")
	watching.signal(syscall.SIGINT)
	m.check(watching.wait(), 130, "left run r, which goes on", "mtt-host attach r", "mtt-host stop r")
	m.fake.Tell(t, "preempt", sandboxName("r"))
	watching = m.elsewhere().start("attach", "r")

	there := m.elsewhere() // all that follows is done from there
	waited := there.expect(0, nil, "wait", "r")
	if !strings.HasPrefix(waited.stdout, "r SUCCEEDED: mean_square ") {
		m.Errorf("wait has printed %q", waited.stdout)
	}
	m.equal(there.end("r"), alone)
	info := there.modalInfo("r")
	if len(info.Attempts) != 2 || info.Attempts[1].ResumedStep == 0 || info.Attempts[0].State != "INTERRUPTED" ||
		info.Backend != "modal" || info.AppID == "" || len(info.SandboxIDs) != 3 || *info.ExitCode != 0 {
		m.Errorf("show has printed %+v", info)
	}
	if listed := decode[struct{ Items []runInfo }](m.bench, there.expect(0, nil, "ls", "-o", "json").stdout).Items; len(listed) != 1 || listed[0].RunID != "r" {
		m.Errorf("ls has printed %+v", listed)
	}
	if n := there.verify("r"); n == 0 {
		m.Error("no checkpoint was kept")
	}
	if shown := decode[checkpointInfo](m.bench, there.expect(0, nil, "checkpoints", "show", "r").stdout); shown.Step != 1500 || shown.Reason != "final" {
		m.Errorf("checkpoints show has printed %+v", shown)
	}
	watched := watching.wait()
	m.check(watched, 0, "attempt 2 of run r", "resumed from checkpoint", "mtt-host show r")
	if !strings.HasPrefix(watched.stdout, "r SUCCEEDED: ") {
		m.Errorf("attach has printed %q", watched.stdout)
	}

	// What was followed is the log: each event once, and those of the second attempt, which could all be written, all.
	logged := there.events(there.expect(0, nil, "logs", "r", "-o", "json").stdout)
	m.whole("the log", logged)
	followed := m.events(following.wait().stdout)
	m.whole("what was followed", followed)
	if fmt.Sprint(followed) != fmt.Sprint(logged) {
		m.Errorf("followed %d events, and %d were logged:\n%v\n%v", len(followed), len(logged), followed, logged)
	}
	if last := logged[len(logged)-1]; last.Kind != "ended" || last.Attempt != 2 {
		m.Errorf("the log ends with %+v", last)
	}
	if got := there.events(there.expect(0, nil, "logs", "r", "-n", "3", "-o", "json").stdout); fmt.Sprint(got) != fmt.Sprint(logged[len(logged)-3:]) {
		m.Errorf("logs -n 3 has printed %v", got)
	}
	if got := there.events(there.expect(0, nil, "logs", "r", "--since", "1h", "-o", "json").stdout); len(got) != len(logged) {
		m.Errorf("logs --since 1h has printed %d events of %d", len(got), len(logged))
	}
	if got := there.expect(0, nil, "logs", "r", "--since", time.Now().Add(time.Hour).Format(time.RFC3339)).stdout; got != "" {
		m.Errorf("logs --since a time to come has printed %q", got)
	}

	if found := there.expect(0, nil, "doctor").stdout; !strings.Contains(found, "mtt-supervisor; whoever starts a supervisor renews it") {
		m.Errorf("doctor has printed %s", found)
	}
	again := there.expect(0, []string{"run r has finished already; nothing was trained"}, strolls("--name", "r")...)
	if again.stdout != watched.stdout {
		m.Errorf("run of a finished run has printed %q, and attach %q", again.stdout, watched.stdout)
	}
	there.expect(65, []string{"run r is another one", "drift"}, strolls("--name", "r", "-S", "drift=0.5")...)
	there.expect(5, []string{"no run nosuch in volume outputs"}, "attach", "nosuch")
	if got := len(m.show("r").Attempts); got != 2 {
		m.Errorf("the run has %d attempts after all that, want 2", got)
	}
}

// Whoever watches a run does so for days, on a laptop that sleeps: that Modal cannot be reached for a while ends nothing.
func TestWatchersOutlastAnOutage(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	between, waited := m.fake.Between(t), m.fake.Between(t)
	there, away := m.elsewhere(), m.elsewhere()
	there.env = append(there.env, "MODAL_SERVER_URL="+between.URL)
	away.env = append(away.env, "MODAL_SERVER_URL="+waited.URL)
	m.expect(0, nil, strolls("--name", "r", "-d", "-S", "steps=4500")...)
	refused := there.start("logs", "r", "-f")
	m.eventually("the log is followed", func() bool { return refused.stdout.String() != "" })
	between.Refuse("SandboxList")
	m.check(refused.wait(), 69, "SandboxList", "newer version of mtt") // no patience helps against that
	between.Refuse()

	following := there.start("logs", "r", "-f", "-o", "json")
	watchers := []*process{following, away.start("wait", "r"), there.start("attach", "r")}
	m.eventually("the run is watched", func() bool {
		return following.stdout.String() != "" && strings.Contains(watchers[2].stderr.String(), "saved step") &&
			waited.Came("SandboxList") > 2 // a first look asks twice
	})
	between.Cut()
	waited.Cut()
	m.fake.Tell(t, "preempt", sandboxName("r"))
	for _, watcher := range watchers {
		watcher.waitFor("warning: run r is out of sight")
	}
	leaving := watchers[2]
	leaving.signal(syscall.SIGINT)
	m.check(leaving.wait(), 130, "left run r, and could not ask whether it goes on", "mtt-host attach r")
	m.expect(0, nil, "wait", "r")
	between.Mend()
	waited.Mend()
	for _, watcher := range watchers[:2] {
		r := watcher.wait()
		m.check(r, 0, "mtt-host: run r is in sight again")
		if strings.Count(r.stderr, "out of sight") != 1 || strings.Count(r.stderr, "in sight again") != 1 {
			t.Errorf("it is said more than once: %s", r.stderr)
		}
	}
	followed := m.events(following.stdout.String())
	m.whole("what was followed", followed)
	if logged := m.events(m.expect(0, nil, "logs", "r", "-o", "json").stdout); fmt.Sprint(followed) != fmt.Sprint(logged) {
		t.Errorf("followed %d events, and %d were logged:\n%v\n%v", len(followed), len(logged), followed, logged)
	}
}

func TestForegroundRunOnModalIsLeftByCtrlC(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	alone := m.aloneHere(strolls()...)
	p := m.start(strolls("--name", "r")...)
	p.waitFor("saved step ")
	p.signal(syscall.SIGINT)
	left := p.wait()
	m.check(left, 130, "left run r, which goes on", "mtt-host attach r", "mtt-host stop r")
	if left.stdout != "" {
		m.Errorf("stdout holds %q", left.stdout)
	}
	object := decode[modalInfo](m.bench, m.expect(0, nil, "attach", "r", "-o", "json").stdout)
	if object.State != "SUCCEEDED" || object.RunID != "r" {
		m.Errorf("attach -o json has printed %+v", object)
	}
	m.equal(m.end("r"), alone)

	begun := decode[modalInfo](m.bench, m.expect(0, nil, strolls("--name", "s", "--seed", "1", "-d", "-o", "json")...).stdout)
	if begun.RunID != "s" || begun.Backend != "modal" || begun.State != "STARTING" && begun.State != "RUNNING" && begun.State != "QUEUED" {
		m.Errorf("run -d -o json has printed %+v", begun)
	}
	m.expect(0, nil, "wait", "s")
	if maps.Equal(m.show("s").Result, alone.result) {
		m.Error("another seed has the same result")
	}
}
