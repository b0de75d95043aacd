package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/modalfake"
)

// walkOnModal is the run that chaos befalls: some four seconds, if it is left alone, with a state of 400 KB.
var walkOnModal = []string{"-S", "steps=1500", "-S", "walkers=50000", "-S", "pause_us=2000"}

// theme is what must befall a run. The rest is drawn.
type theme struct {
	name     string
	settings func(*chaos) []string // of modal-fake
	args     func(*chaos) []string // of `run`
	acts     []func(*chaos)
}

var themes = []theme{
	{name: "torn_commits", settings: set("torn-commits=1"), acts: []func(*chaos){(*chaos).preemptWithinCommit, (*chaos).preemptWithinCommit, (*chaos).preemptWithinCommit}},
	{name: "warnings", settings: func(c *chaos) []string {
		return []string{"preempt-signal=" + pick(c, "INT", "TERM"), "preempt-grace=" + pick(c, "10ms", "300ms", "10s")}
	}, acts: []func(*chaos){(*chaos).preemptWorker, (*chaos).preemptWorker, (*chaos).preemptWorker}},
	{name: "supervisor_dies", acts: []func(*chaos){(*chaos).killSupervisor, (*chaos).preemptWorker, (*chaos).killSupervisor}},
	{name: "supervisors_hand_over", args: func(c *chaos) []string { return []string{"--supervisor-limit", pick(c, "1s", "2s", "3s")} },
		acts: []func(*chaos){(*chaos).preemptWorker, (*chaos).preemptWorker}},
	{name: "attempts_reach_their_limit", args: func(c *chaos) []string { return []string{"--attempt-limit", pick(c, "3s", "4s")} }, // a shorter one is over before it begins, where the machine is slow
		acts: []func(*chaos){(*chaos).timeOutWorker, (*chaos).preemptWorker}},
	{name: "calls_fail", settings: func(c *chaos) []string {
		return []string{fmt.Sprintf("error-rate=%.3f", 0.02+0.08*c.random.Float64()), "drop-streams=0.1", "repeat-streams=0.2", "lose-creates=2", "expire-blocks=4"}
	}, acts: []func(*chaos){(*chaos).preemptWorker, (*chaos).preemptWithinCommit}},
	{name: "two_resume", acts: []func(*chaos){(*chaos).resumeTwice, (*chaos).preemptWorker, (*chaos).resumeTwice}},
	{name: "two_supervisors", acts: []func(*chaos){(*chaos).secondSupervisor, (*chaos).preemptWorker, (*chaos).secondSupervisorMeanwhile, (*chaos).preemptWorker}},
	{name: "everything_is_lost_at_once", settings: set("torn-commits=0.5"), acts: []func(*chaos){(*chaos).powerCut, (*chaos).preemptAll, (*chaos).preemptWorker}},
	{name: "commits_at_any_time", settings: func(c *chaos) []string {
		return []string{"torn-commits=0.5", "commit=" + pick(c, "background", "background", "end"), "commit-every=" + pick(c, "20ms", "100ms", "500ms")}
	}, acts: []func(*chaos){(*chaos).preemptWorker, (*chaos).preemptWithinCommit, (*chaos).preemptWorker}},
	{name: "calls_are_throttled", settings: func(c *chaos) []string {
		return append(throttled(c, 0.1), "end-builds=1", "build-status="+pick(c, "TERMINATED", "INTERNAL_FAILURE", "TIMEOUT"), "mount-free="+pick(c, "0", "1000000000000000"))
	}, acts: []func(*chaos){(*chaos).billing, (*chaos).preemptWorker, (*chaos).burst}},
	{name: "machines_are_none", settings: func(c *chaos) []string {
		return []string{"unplaced=1", "unplaced-rate=0.3", "unplaced-status=" + pick(c, "TERMINATED", "INTERNAL_FAILURE", "TIMEOUT", "FAILURE"), "disk-full=1", "throttle-limits=*:" + pick(c, "20/20", "50/5")}
	}, acts: []func(*chaos){(*chaos).endForMemory, (*chaos).preemptWorker, (*chaos).endForMemory}},
}

func set(settings ...string) func(*chaos) []string {
	return func(*chaos) []string { return settings }
}

// How many runs chaos befalls in `make soak`, each theme in turn; in every test run, each theme befalls one.
const chaosSoak = 200

// TestKillOnModalCostsNothing lives runs on a Modal that takes machines away, loses answers and breaks commits, at random
// moments. What each must keep is what check says. MTT_CHAOS, with the seed that a failure names, repeats one run.
func TestKillOnModalCostsNothing(t *testing.T) {
	t.Parallel()
	if err := buildFake(); err != nil {
		t.Fatal(err)
	}
	here := newBench(t)
	here.expect(0, nil, slices.Concat([]string{"run", pluginPath("walk"), "--name", "alone", "--device", "go"}, walkOnModal)...)
	alone := here.outcome("alone")
	first, runs := uint64(time.Now().UnixNano()), len(themes)
	first -= first % uint64(runs) // a seed says the theme, too
	if os.Getenv("MTT_SOAK") != "" {
		runs = chaosSoak
	}
	if again, err := strconv.ParseUint(os.Getenv("MTT_CHAOS"), 10, 64); err == nil {
		first, runs = again, 1
	}
	var all tally
	passed := t.Run("runs", func(t *testing.T) {
		for seed := first; seed < first+uint64(runs); seed++ {
			of := themes[seed%uint64(len(themes))]
			t.Run(fmt.Sprintf("%s/%d", of.name, seed), func(t *testing.T) {
				t.Parallel()
				c := newChaos(t, seed, of)
				defer func() {
					if t.Failed() {
						t.Logf("%v\n%s", c.told, c.report(c.id))
					}
				}()
				c.live(of)
				all.add(c.check(alone))
			})
		}
	})
	t.Logf("seeds from %d: %+v", first, all.counts)
	// Where each theme has had its turn a few times, what it is about has befallen some run.
	n := all.counts
	if passed && n.Runs == runs && runs >= 5*len(themes) &&
		(n.Preemptions < n.Runs || n.TimeOuts == 0 || n.Supervisors == 0 || n.SecondSupervisors == 0 || n.PowerCuts == 0 ||
			n.Throttled == 0 || n.Bursts == 0 || n.Bills == 0 || n.Unplaced == 0 || n.MemoryEnds == 0) {
		t.Errorf("this was no chaos: %+v", n)
	}
}

// counts is what befell runs.
type counts struct {
	Runs, Attempts, Preemptions, TimeOuts, Resumes, PowerCuts int
	Supervisors, SecondSupervisors                            int           // that were ended, and that were started beside one
	Throttled, Bursts, Bills, Unplaced, MemoryEnds            int           // calls, spans of time, and Sandboxes
	Acknowledged                                              int           // checkpoints
	Torn                                                      int           // checkpoints that were left in pieces
	Lost, MostLost                                            time.Duration // of a GPU, in all and to one machine that was lost
}

type tally struct {
	mu sync.Mutex
	counts
}

func (t *tally) add(c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Runs++
	t.Attempts += c.Attempts
	t.Preemptions += c.Preemptions
	t.TimeOuts += c.TimeOuts
	t.Supervisors += c.Supervisors
	t.SecondSupervisors += c.SecondSupervisors
	t.Resumes += c.Resumes
	t.PowerCuts += c.PowerCuts
	t.Throttled += c.Throttled
	t.Bursts += c.Bursts
	t.Bills += c.Bills
	t.Unplaced += c.Unplaced
	t.MemoryEnds += c.MemoryEnds
	t.Acknowledged += c.Acknowledged
	t.Torn += c.Torn
	t.Lost += c.Lost
	t.MostLost = max(t.MostLost, c.MostLost)
}

// chaos is one run and what befalls it.
type chaos struct {
	*modalBench
	counts
	random   *rand.Rand
	settings []string
	id       string // of the run
	cadence  time.Duration
	lost     map[string]bool // Sandboxes whose machine was taken away
	told     []string        // what was drawn and done, for whoever looks at a failure
	said     []string        // what commands said
	waiting  *process        // mtt-host wait
}

func newChaos(t *testing.T, seed uint64, of theme) *chaos {
	c := &chaos{random: rand.New(rand.NewPCG(seed, 0)), id: "r", lost: map[string]bool{}}
	for _, drawn := range []struct {
		share   float64
		setting func() string
	}{
		{0.3, func() string { return fmt.Sprintf("torn-commits=%.1f", c.random.Float64()) }},
		{0.2, func() string { return "commit=" + pick(c, "background", "end") }},
		{0.5, func() string { return "commit-every=" + pick(c, "50ms", "300ms", "1s") }},
		{0.2, func() string { return "preempt-signal=" + pick(c, "INT", "TERM") }},
		{0.5, func() string { return "preempt-grace=" + pick(c, "0s", "50ms", "1s") }},
		{0.3, func() string { return "lose-creates=" + pick(c, "1", "2", "3") }},
		{0.2, func() string { return fmt.Sprintf("error-rate=%.3f", 0.1*c.random.Float64()) }},
		{0.2, func() string { return "drop-streams=0.05" }},
		{0.2, func() string { return "repeat-streams=0.3" }},
		{0.2, func() string { return "expire-blocks=2" }},
		{0.3, func() string { return "start-delay=" + pick(c, "50ms", "300ms", "1s") }},
		{0.2, func() string { return "delay=" + pick(c, "5ms", "30ms") }},
		{0.2, func() string { return fmt.Sprintf("throttle-rate=%.3f", 0.1*c.random.Float64()) }},
		{0.2, func() string { return "throttle-policy=" + pick(c, "0.5", "1") }},
		{0.2, func() string { return "end-builds=1" }},
		{0.3, func() string { return "mount-free=" + pick(c, "0", "1000000000000000") }},
	} {
		if c.random.Float64() < drawn.share {
			c.settings = append(c.settings, drawn.setting())
		}
	}
	if of.settings != nil {
		c.settings = append(c.settings, of.settings(c)...)
	}
	c.tell("settings %v", c.settings)
	c.modalBench = newModalBench(t, c.settings...)
	return c
}

func pick[T any](c *chaos, from ...T) T { return from[c.random.IntN(len(from))] }

func (c *chaos) tell(format string, args ...any) {
	c.told = append(c.told, time.Now().UTC().Format(clock)+" "+fmt.Sprintf(format, args...)+"\n")
}

// live lives the run to its end, as a person would: who reads `show` and does what it says.
func (c *chaos) live(of theme) {
	c.cadence = pick(c, 200*time.Millisecond, 500*time.Millisecond, time.Second)
	args := slices.Concat([]string{"run", pluginPath("walk"), "--name", c.id, "-d", "--gpu", "H100", "--device", "go", "--checkpoint-every", c.cadence.String()}, walkOnModal)
	if of.args != nil {
		args = append(args, of.args(c)...)
	}
	c.tell("%v", args)
	c.check0(c.command(args...))
	c.waiting = c.start("wait", c.id)
	for _, act := range of.acts {
		time.Sleep(time.Duration(c.random.Int64N(int64(1500 * time.Millisecond))))
		if c.over() {
			return
		}
		act(c)
	}
	for deadline := time.After(lifetime); !c.over(); {
		select {
		case <-c.waiting.done:
		case <-deadline:
			c.Fatalf("the run has not ended within %s", lifetime)
		}
	}
}

// lifetime is how long a run may take behind the last that befalls it before the test gives up on it; far more than any needs.
const lifetime = 5 * time.Minute

// command runs mtt-host, and again as long as it says that Modal cannot be reached.
func (c *chaos) command(args ...string) (r result) {
	c.Helper()
	for range 5 {
		r = c.run(args...)
		c.said = append(c.said, r.stderr)
		if r.code != 69 {
			break
		}
		c.tell("%q: %v", args, r)
	}
	return r
}

func (c *chaos) check0(r result) {
	c.Helper()
	c.modalBench.check(r, 0)
}

// over says whether the run has ended for good. One that has not, and is not lived any more, is resumed.
func (c *chaos) over() bool {
	c.Helper()
	if c.waiting.running() {
		return false
	}
	r := c.waiting.wait()
	c.said = append(c.said, r.stderr)
	switch r.code {
	case 0:
		return true
	case 75:
		c.tell("interrupted: %s", strings.TrimSpace(r.stderr))
		c.resume()
	default:
		c.Fatalf("the run has ended so: %v", r)
	}
	c.waiting = c.start("wait", c.id)
	return false
}

// resume starts a supervisor, where there is none.
func (c *chaos) resume() {
	c.Helper()
	for range 40 {
		r := c.command("resume", c.id, "-d")
		c.tell("resume: exit code %d", r.code)
		switch {
		case r.code == 0:
			c.Resumes++
			return
		case r.code != 7:
			c.Fatalf("resume: %v", r)
		case c.supervised() != nil: // somebody else was faster
			return
		}
		time.Sleep(time.Second) // another command may have died in the middle of it, which it is given time for
	}
	c.Fatal("the run cannot be resumed, and nobody lives it")
}

var statuses = []string{"SUCCESS", "FAILURE", "TERMINATED", "TIMEOUT", "INIT_FAILURE", "INTERNAL_FAILURE", "IDLE_TIMEOUT"}

// worker waits a while for a worker that lives.
func (c *chaos) worker() *sandbox {
	c.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline) && c.waiting.running(); time.Sleep(5 * time.Millisecond) {
		if workers, _ := c.sandboxes(c.id); len(workers) > 0 && workers[len(workers)-1].alive() {
			return &workers[len(workers)-1]
		}
	}
	return nil
}

// supervised returns the newest supervisor that lives; nil for none.
func (c *chaos) supervised() *sandbox {
	c.Helper()
	_, supervisors := c.sandboxes(c.id)
	for _, s := range slices.Backward(supervisors) {
		if s.alive() {
			return &s
		}
	}
	return nil
}

func (c *chaos) preemptWorker() {
	c.Helper()
	if worker := c.worker(); worker != nil {
		c.takeFrom(*worker)
	}
}

func (c *chaos) takeFrom(worker sandbox) {
	c.Helper()
	c.takeFor(worker, pick(c, statuses...))
}

// takeFor has the Sandbox report a status.
func (c *chaos) takeFor(worker sandbox, status string) {
	c.Helper()
	if c.preempt(status, worker.ID) {
		c.lost[worker.ID] = true
		c.Preemptions++
		c.tell("preempted %s: %s", worker.ID, status)
	}
}

// timeOutWorker gives the next Sandbox less time than it was promised: it knows of no limit that it could save before.
func (c *chaos) timeOutWorker() {
	c.Helper()
	limit := func(value string) {
		if err := c.order(modalfake.Order{Set: []modalfake.Assignment{{Name: "time-limit", Value: value}}}); err != nil {
			c.Fatal(err)
		}
	}
	old := c.worker()
	if old == nil {
		return
	}
	limit("1s")
	defer limit("0s")
	c.takeFrom(*old)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && c.waiting.running(); time.Sleep(5 * time.Millisecond) {
		workers, _ := c.sandboxes(c.id)
		if last := workers[len(workers)-1]; last.ID != old.ID && !last.alive() {
			if last.Status == "TIMEOUT" {
				c.TimeOuts++
				c.lost[last.ID] = true
			}
			c.tell("%s has ended: %s", last.ID, last.Status)
			return
		}
	}
}

// preemptWithinCommit takes the machine away while a checkpoint is written, or synced.
func (c *chaos) preemptWithinCommit() {
	c.Helper()
	worker := c.worker()
	if worker == nil {
		return
	}
	inCopy := func(pattern ...string) []string {
		found, _ := filepath.Glob(filepath.Join(append([]string{c.fake.State, "running", worker.ID, "volumes", "0", "checkpoints", c.id}, pattern...)...))
		return found
	}
	synced := c.random.IntN(2) == 0
	var seen map[string]bool
	for deadline := time.Now().Add(4 * time.Second); time.Now().Before(deadline) && c.waiting.running(); time.Sleep(time.Millisecond) {
		manifests := map[string]bool{}
		for _, manifest := range inCopy("*", "MANIFEST.json") {
			manifests[filepath.Dir(manifest)] = true
		}
		now := false
		for _, dir := range inCopy("*") {
			if synced { // its manifest has just appeared
				now = now || manifests[dir] && seen != nil && !seen[dir]
			} else {
				now = now || !manifests[dir]
			}
		}
		if now {
			break
		}
		seen = manifests
	}
	c.takeFrom(*worker)
}

// preemptAll takes all machines away: the next supervisor finds an attempt that nobody has ended.
func (c *chaos) preemptAll() {
	c.Helper()
	worker := c.worker()
	c.tell("preempting all")
	if worker != nil {
		c.takeFrom(*worker)
	}
	c.killSupervisor()
}

// killSupervisor ends the supervisor, sees to it that `show` says what to do, and does it.
func (c *chaos) killSupervisor() {
	c.Helper()
	c.endSupervisor()
	time.Sleep(time.Duration(c.random.Int64N(int64(time.Second))))
	c.resume()
}

func (c *chaos) endSupervisor() {
	c.Helper()
	for s := c.supervised(); s != nil; s = c.supervised() { // one that hands over leaves a successor
		if c.preempt(pick(c, statuses...), s.ID) {
			c.Supervisors++
			c.tell("ended %s", s.Name)
		}
		c.eventually("the supervisor has ended", func() bool {
			_, supervisors := c.sandboxes(c.id)
			i := slices.IndexFunc(supervisors, func(other sandbox) bool { return other.ID == s.ID })
			return !supervisors[i].alive()
		})
	}
}

// resumeTwice has two commands resume at once the run whose supervisor has died: one must be refused.
func (c *chaos) resumeTwice() {
	c.Helper()
	c.endSupervisor()
	_, before := c.sandboxes(c.id)
	first := c.start("resume", c.id, "-d")
	time.Sleep(time.Duration(c.random.Int64N(int64(100 * time.Millisecond))))
	second := c.start("resume", c.id, "-d")
	results := []result{first.wait(), second.wait()}
	refused := 0
	for _, r := range results {
		c.tell("one of two: exit code %d", r.code)
		switch {
		case r.code == 0:
			if strings.Contains(r.stderr, "finished already") {
				return
			}
			c.Resumes++
		case r.code == 7:
			refused++
		case r.code != 69:
			c.Fatalf("resume: %v", r)
		}
	}
	_, after := c.sandboxes(c.id)
	if started := len(after) - len(before); started != 1 || refused != 1 {
		if results[0].code == 69 || results[1].code == 69 {
			c.resume()
			return
		}
		c.Errorf("of two that resume at once %d started a supervisor and %d were refused\n%v\n%v", started, refused, results[0], results[1])
	}
}

// secondSupervisor starts a supervisor beside the one that lives: with the same command, but of the next number, which
// it claims as a successor is claimed.
func (c *chaos) secondSupervisor() {
	c.Helper()
	s := c.supervised()
	if s == nil {
		return
	}
	n, err := strconv.Atoi(s.argument(c.modalBench, "--number"))
	if err != nil {
		c.Fatal(err)
	}
	n++
	definition := s.definition(c.modalBench)
	second := proto.CloneOf(definition)
	second.SetName(fmt.Sprintf("mtt-%s.s%d", c.id, n))
	args := second.GetEntrypointArgs()
	args[slices.Index(args, "--number")+1] = strconv.Itoa(n)
	claim, err := json.Marshal(map[string]any{"schema": "mtt.supervisor/v1", "host_sha256": args[5], "time": time.Now().UTC()})
	if err != nil {
		c.Fatal(err)
	}
	c.tell("starting supervisor %d beside %s", n, s.Name)
	c.put(definition.GetVolumeMounts()[0].GetVolumeId(), fmt.Sprintf("runs/%s/supervisors/%d/claim.json", c.id, n), claim)
	ctx, client := c.raw()
	c.insist("start a second supervisor", func() error {
		_, err := client.SandboxCreate(ctx, pb.SandboxCreateRequest_builder{AppId: s.AppID, Definition: second}.Build())
		if status.Code(err) == codes.AlreadyExists { // the answer was lost
			return nil
		}
		return err
	})
	c.SecondSupervisors++
}

// secondSupervisorMeanwhile starts one while the one that lives waits for a machine for an attempt that it has claimed.
func (c *chaos) secondSupervisorMeanwhile() {
	c.Helper()
	wait := modalfake.Order{Set: []modalfake.Assignment{{Name: "gpus-for", Value: fmt.Sprint(time.Duration(c.random.Int64N(int64(3 * time.Second))))}, {Name: "gpus", Value: pick(c, "refused", "queued")}}}
	if err := c.order(wait); err != nil {
		c.Fatal(err)
	}
	c.preemptWorker()
	time.Sleep(time.Duration(c.random.Int64N(int64(500 * time.Millisecond))))
	c.secondSupervisor()
}

// powerCut ends Modal itself, with all that it runs, and starts it again.
func (c *chaos) powerCut() {
	c.Helper()
	c.tell("power cut")
	c.waiting.kill()
	c.fake.Kill(c.T)
	if workers, _ := c.sandboxes(c.id); len(workers) > 0 && workers[len(workers)-1].alive() { // as it was recorded last
		c.lost[workers[len(workers)-1].ID] = true
	}
	c.fake.Run(c.T)
	c.connect(filepath.Dir(c.tmp))
	c.PowerCuts++
	c.resume()
	c.waiting = c.start("wait", c.id)
}

// slack is what a preemption may cost beyond the cadence: a machine, the program and the plugin on it, and the checkpoint.
const slack = 10 * time.Second

// check holds what chaos must not break against the records of the fake, the volume, and what was printed.
func (c *chaos) check(alone outcome) counts {
	c.Helper()
	c.mend()
	claims := c.fetch(c.id)
	c.equal(c.outcome(c.id), alone)
	c.endedOnce()
	var workers, supervisors []sandbox
	c.until("no Sandbox is left", func() bool { // a supervisor that came too late leaves by itself
		workers, supervisors = c.sandboxes(c.id)
		return !slices.ContainsFunc(slices.Concat(workers, supervisors), sandbox.alive)
	})
	printed := c.printed()
	events := map[string][]eventlog.Event{}
	for _, w := range workers {
		events[w.ID] = eventsOf(printed[w.ID])
	}
	c.oneAtATime(workers)
	c.oneAfterTheOther(claims)
	c.nothingAcknowledgedIsLost(workers, events, claims)
	c.countLost(workers, events)
	c.countRefusals(slices.Concat(workers, supervisors))
	c.nothingIsSaidToBeFull(slices.Concat(workers, supervisors))
	c.Attempts = len(claims)
	return c.counts
}

// endedOnce wants one result, and no attempt that ended through anybody's fault.
func (c *chaos) endedOnce() {
	c.Helper()
	if moved, _ := filepath.Glob(c.path("runs", c.id, "attempts", "*", "result.json")); len(moved) > 0 {
		c.Errorf("the run had ended before it ended: %v", moved)
	}
	if _, err := os.Stat(c.path("runs", c.id, "result.json")); err != nil {
		c.Error(err)
	}
	info := c.show(c.id)
	for i, attempt := range info.Attempts {
		want := "INTERRUPTED"
		if i == len(info.Attempts)-1 {
			want = "SUCCEEDED"
		}
		if attempt.State != want && attempt.State != "INTERRUPTED" {
			c.Errorf("attempt %d is %s", attempt.Attempt, attempt.State)
		}
	}
}

// oneAtATime looks for Sandboxes that were made too early.
func (c *chaos) oneAtATime(workers []sandbox) {
	c.Helper()
	attempt := 0
	for i, w := range workers {
		if i > 0 && !w.Created.After(workers[i-1].Finished) {
			c.Errorf("Sandbox %s was made at %s, and the one before, %s, ended at %s", w.ID, w.Created.Format(clock), workers[i-1].ID, workers[i-1].Finished.Format(clock))
		}
		n, err := strconv.Atoi(w.argument(c.modalBench, "--attempt"))
		if err != nil {
			c.Fatal(err)
		}
		if n < attempt {
			c.Errorf("attempt %d lived after attempt %d", n, attempt)
		}
		attempt = n
		if gpu := w.definition(c.modalBench).GetResources().GetGpuConfig(); gpu.GetGpuType() != "H100" || gpu.GetCount() != 1 {
			c.Errorf("Sandbox %s has the GPU %v", w.ID, gpu)
		}
	}
}

// oneAfterTheOther wants no supervisor to have begun an attempt once another had.
func (c *chaos) oneAfterTheOther(claims map[int]claimInfo) {
	c.Helper()
	newest := 0
	for _, n := range slices.Sorted(maps.Keys(claims)) {
		by, err := strconv.Atoi(strings.TrimPrefix(claims[n].Hostname, "mtt-"+c.id+".s"))
		if err != nil {
			c.Fatal(err)
		}
		if by < newest {
			c.Errorf("supervisor %d began attempt %d, after supervisor %d had taken over", by, n, newest)
		}
		newest = by
	}
}

// nothingAcknowledgedIsLost holds what workers have printed that they saved against where the attempts behind began, and
// against what the volume has at the end.
func (c *chaos) nothingAcknowledgedIsLost(workers []sandbox, events map[string][]eventlog.Event, claims map[int]claimInfo) {
	c.Helper()
	newest := map[int]uint64{} // step that each attempt has acknowledged
	lived := map[int]string{}  // Sandbox that each attempt trained in
	var acknowledged []string
	for _, w := range workers {
		for _, event := range events[w.ID] {
			switch event.Kind {
			case eventlog.Started:
				if other := lived[event.Attempt]; other != "" {
					c.Errorf("attempt %d lived in %s and in %s", event.Attempt, other, w.ID)
				}
				lived[event.Attempt] = w.ID
			case eventlog.Saved:
				newest[event.Attempt] = max(newest[event.Attempt], event.Step)
				acknowledged = append(acknowledged, event.Checkpoint)
			}
		}
	}
	c.Acknowledged = len(acknowledged)
	through := uint64(0)
	for _, n := range slices.Sorted(maps.Keys(claims)) {
		if claims[n].ResumedStep < through {
			c.Errorf("attempt %d began at step %d, and step %d was acknowledged before", n, claims[n].ResumedStep, through)
		}
		through = max(through, newest[n])
	}
	whole := map[string]bool{}
	for _, item := range decode[struct{ Items []checkpointInfo }](c.bench, c.run("checkpoints", "verify", c.id, "-o", "json").stdout).Items {
		whole[item.ID] = item.Verified != nil && *item.Verified
		if !whole[item.ID] {
			c.Torn++
		}
	}
	// Retention keeps three, of which some may be ones that were committed and not acknowledged any more.
	kept := slices.Clone(acknowledged)
	for _, claim := range claims {
		if claim.ResumedFrom != "" && !slices.Contains(kept, claim.ResumedFrom) {
			kept = append(kept, claim.ResumedFrom)
		}
	}
	slices.Sort(kept) // by their steps
	for _, id := range acknowledged {
		good, there := whole[id]
		if there && !good {
			c.Errorf("checkpoint %s was acknowledged, and is not whole", id)
		}
		if newer := len(kept) - 1 - slices.Index(kept, id); !there && newer < 3 {
			c.Errorf("checkpoint %s was acknowledged, and is gone, though only %d are newer", id, newer)
		}
	}
	if last := acknowledged[len(acknowledged)-1]; !whole[last] {
		c.Errorf("the last acknowledged checkpoint, %s, is not on the volume", last)
	}
}

// countLost counts the seconds of a GPU that each machine which was taken away has cost: those since the last checkpoint was
// acknowledged, and those that the next Sandbox that had a machine took to its first step.
func (c *chaos) countLost(workers []sandbox, events map[string][]eventlog.Event) {
	c.Helper()
	first := func(w sandbox) time.Time { // that it was heard of
		for _, event := range events[w.ID] {
			if event.Kind == eventlog.Stepped || event.Kind == eventlog.Saved {
				return event.Time
			}
		}
		return w.Finished
	}
	for i, w := range workers {
		if !c.lost[w.ID] || w.Started.IsZero() {
			continue
		}
		from := w.Started
		if at := first(w); at.Before(w.Finished) {
			from = at
		}
		for _, event := range events[w.ID] {
			if event.Kind == eventlog.Saved {
				from = event.Time
			}
		}
		lost := w.Finished.Sub(from)
		next := workers[i+1:]
		if j := slices.IndexFunc(next, func(other sandbox) bool { return !other.Started.IsZero() }); j >= 0 {
			lost += first(next[j]).Sub(next[j].Started)
		}
		if lost > c.cadence+slack {
			c.Errorf("the loss of %s cost %s of a GPU, with a checkpoint every %s", w.ID, lost, c.cadence)
		}
		c.Lost += lost
		c.MostLost = max(c.MostLost, lost)
	}
}

// torn is what a commit that nobody has acknowledged may leave on the volume, made by hand: the fake hits it too seldom.
type torn struct {
	name string
	// tear takes away what was not committed, of two checkpoints, the newest first. It returns the step to go on from.
	tear func(m *modalBench, run string, checkpoints []string) (step uint64)
}

var tears = []torn{
	{"the_first_manifest_without_its_blob", func(m *modalBench, run string, checkpoints []string) uint64 {
		m.remove("checkpoints/"+run+"/"+checkpoints[0], "checkpoints/"+run+"/"+checkpoints[1]+"/walkers.f64", "runs/"+run+"/attempts/1/saved.json")
		return 0
	}},
	{"a_manifest_without_its_blob", func(m *modalBench, run string, checkpoints []string) uint64 {
		m.remove("checkpoints/" + run + "/" + checkpoints[0] + "/walkers.f64")
		return stepOf(m, checkpoints[1])
	}},
	{"a_checkpoint_without_its_curves", func(m *modalBench, run string, checkpoints []string) uint64 {
		var manifest struct {
			Events struct {
				File  string `json:"file"`
				Bytes int64  `json:"bytes"`
			} `json:"events"`
		}
		raw := m.expect(0, nil, "volume", "get", "outputs", "checkpoints/"+run+"/"+checkpoints[1]+"/MANIFEST.json", "-").stdout
		if err := json.NewDecoder(strings.NewReader(raw)).Decode(&manifest); err != nil {
			m.Fatalf("%v\n%s", err, raw)
		}
		events := filepath.Join(filepath.Dir(m.tmp), manifest.Events.File)
		m.expect(0, nil, "volume", "get", "outputs", "runs/"+run+"/"+manifest.Events.File, events)
		if err := os.Truncate(events, manifest.Events.Bytes); err != nil {
			m.Fatal(err)
		}
		m.expect(0, nil, "volume", "put", "outputs", events, "runs/"+run+"/"+manifest.Events.File, "--force")
		return stepOf(m, checkpoints[1])
	}},
}

func stepOf(m *modalBench, id string) uint64 {
	m.Helper()
	step, err := strconv.ParseUint(strings.Split(id, "-")[1], 10, 64)
	if err != nil {
		m.Fatal(err)
	}
	return step
}

func TestKillOnModalThatTearsACommitCostsNoMoreThanIt(t *testing.T) {
	t.Parallel()
	here := newBench(t)
	here.expect(0, nil, slices.Concat([]string{"run", pluginPath("walk"), "--name", "alone", "--device", "go"}, walkOnModal)...)
	alone := here.outcome("alone")
	t.Run("torn", func(t *testing.T) {
		for _, of := range tears {
			t.Run(of.name, func(t *testing.T) {
				t.Parallel()
				m := newModalBench(t)
				m.expect(0, nil, slices.Concat([]string{"run", pluginPath("walk"), "--name", "r", "-d", "--checkpoint-every", "100"}, walkOnModal)...)
				var workers, supervisors []sandbox
				m.eventually("two checkpoints are acknowledged", func() bool {
					workers, supervisors = m.sandboxes("r")
					return len(workers) > 0 && strings.Count(m.printed()[workers[0].ID], `"kind":"saved"`) > 1
				})
				m.preempt("TERMINATED", supervisors[0].ID)
				m.preempt("TERMINATED", workers[0].ID)
				m.eventually("both have ended", func() bool {
					workers, supervisors = m.sandboxes("r")
					return !workers[0].alive() && !supervisors[0].alive()
				})
				var checkpoints []string
				for _, item := range m.checkpoints("r") {
					checkpoints = append(checkpoints, item.ID)
				}
				want := of.tear(m, "r", checkpoints)
				m.expect(0, nil, "resume", "r", "-d")
				if r := m.run("wait", "r"); r.code != 0 {
					t.Fatalf("%v\n%s", r, m.report("r"))
				}
				if claim := m.fetch("r")[2]; claim.ResumedStep != want {
					t.Errorf("attempt 2 began at step %d, want %d", claim.ResumedStep, want)
				}
				m.equal(m.outcome("r"), alone)
				if t.Failed() {
					t.Log(m.report("r"))
				}
			})
		}
	})
}
