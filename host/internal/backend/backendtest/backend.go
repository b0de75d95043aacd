package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/follow"
	"github.com/mtt-project/mtt/host/internal/launch"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Site is an empty place for runs that a test has for its own.
type Site interface {
	// Open opens it, as a command does; the test closes it.
	Open(t *testing.T) backend.Backend
	// Bin is where executables are before a run is made.
	Bin() (string, error)
	// Options are what a run needs there besides.
	Options(*run.Options) error
	// Ready brings to the volume what a run needs there.
	Ready(context.Context, *run.Spec) error
	// Kill ends the attempt that lives as the kernel or a preemption does, and says whether the run goes on by itself.
	Kill(t *testing.T, r *run.Run) (recovers bool)
	// Volume is the one that the runs are on.
	Volume(t *testing.T) backend.Volume
}

// Programs are what the tests run.
type Programs struct{ Host, Walk, Faulty string }

// Build builds the programs into a directory.
func Build(dir string) (Programs, error) {
	p := Programs{filepath.Join(dir, "mtt-host"), filepath.Join(dir, "walk"), filepath.Join(dir, "faulty")}
	for path, of := range map[string]string{p.Host: "host/cmd/mtt-host", p.Walk: "plugins/walk", p.Faulty: "plugins/faulty"} {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "github.com/mtt-project/mtt/"+of)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return p, fmt.Errorf("build %s: %w\n%s", of, err, said)
		}
	}
	return p, nil
}

// RunBackend runs the suite: a run is the same wherever it is lived.
func RunBackend(t *testing.T, programs Programs, make func(t *testing.T) Site) {
	for name, test := range map[string]func(*stage){
		"ADetachedRunEndsWithItsResult":                 testSucceeds,
		"ARunIsListedWithItsState":                      testListed,
		"AStoppedRunHasSavedAndGoesOn":                  testStopped,
		"ARunStoppedAtOnceGoesOnFromItsLastCheckpoint":  testStoppedNow,
		"AKilledAttemptCostsNothing":                    testKilled,
		"ARunKilledAgainAndAgainEndsTheSame":            testKilledOften,
		"ALiveRunIsNobodyElsesToLive":                   testLocked,
		"OfTwoThatDetachARunAtOnceOneDoes":              testDetachedByTwo,
		"ADetachWhoseContextHasEndedCanBeRepeated":      testDetachedAgain,
		"AFailureOfTheExperimentIsFinal":                testFailed,
		"AFailureIsTriedAgainIfThatIsAskedFor":          testRetried,
		"AFailedRunCanBeResumed":                        testResumedAfterFailure,
		"APanicIsThePluginsFault":                       testPanicked,
		"ACorruptCheckpointIsSkipped":                   testCorrupt,
		"LostCheckpointsAreNotStartedOver":              testLost,
		"EventsAreNumberedWithoutGaps":                  testEvents,
		"WhatWasFollowedIsWhatIsKept":                   testFollowed,
		"TheLastEventsCanBeAskedFor":                    testLast,
		"TheNameOfARunIsTakenOnce":                      testNameTaken,
		"AFinishedRunIsNotTrainedAgain":                 testFinished,
		"AnotherConfigurationIsRefused":                 testMismatch,
		"AnUnfinishedRunIsFoundAgain":                   testFound,
		"ARunThatCannotBeReadIsNotStartedOver":          testUnreadable,
		"ARunThatIsNotThereIsNotFound":                  testNoRun,
		"CheckpointsAreListedAndVerified":               testCheckpoints,
		"WhatTheExperimentWroteIsKept":                  testFiles,
		"ARequestToStopBeforeTheFirstAttemptIsFollowed": testStoppedEarly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&stage{T: t, Site: make(t), programs: programs})
		})
	}
}

// stage is where one test plays.
type stage struct {
	*testing.T
	Site
	programs Programs
}

const (
	// steps is how long a walk is, and walkHash the state that it ends in on every backend.
	steps    = 120
	walkHash = "f642002efccdb1fea9193f99bb9742ac2404ebf5fe165b5c9b7037b0d05fb0c2"
	// slow makes it long enough to be killed in.
	slow = "pause_us=30000"
)

// choose readies a run as `mtt-host run` does.
func (s *stage) choose(on backend.Backend, plugin, name string, set ...string) (*launch.Choice, error) {
	s.Helper()
	return s.chooseWith(on, plugin, name, func(*run.Options) {}, set...)
}

func (s *stage) chooseWith(on backend.Backend, plugin, name string, options func(*run.Options), set ...string) (*launch.Choice, error) {
	s.Helper()
	request := launch.Request{
		Plugin: plugin, Set: set, Name: name, Bin: s.Bin, Ready: s.Ready,
		Host: func() (run.Host, error) { return run.Host{Version: "test"}, nil },
		Options: func(o *run.Options) error {
			o.Cadence = run.Cadence{Interval: 50 * time.Millisecond}
			options(o)
			return s.Site.Options(o)
		},
	}
	spec, err := launch.Prepare(s.Context(), request)
	if err != nil {
		return nil, err
	}
	if err := on.Registry().Refresh(s.Context(), ""); err != nil {
		return nil, err
	}
	return launch.Choose(s.Context(), on, spec, request)
}

// begin has a run lived, and returns it.
func (s *stage) begin(on backend.Backend, plugin, name string, set ...string) *run.Run {
	s.Helper()
	choice, err := s.choose(on, plugin, name, set...)
	if err != nil {
		s.Fatal(err)
	}
	return s.detach(on, choice)
}

// faulty has a run of the plugin with a fault lived.
func (s *stage) faulty(on backend.Backend, fault string) *run.Run {
	s.Helper()
	choice, err := s.chooseWith(on, s.programs.Faulty, "a", func(o *run.Options) { o.Env = map[string]string{"FAULTY": fault} })
	if err != nil {
		s.Fatal(err)
	}
	return s.detach(on, choice)
}

func (s *stage) detach(on backend.Backend, choice *launch.Choice) *run.Run {
	s.Helper()
	if err := on.Detach(s.Context(), choice.Run); err != nil {
		s.Fatal(err)
	}
	choice.Run.Unlock()
	return choice.Run
}

// goOn has a run lived that is not live.
func (s *stage) goOn(on backend.Backend, id string) *run.Run {
	s.Helper()
	choice, err := launch.Resume(s.Context(), on.Registry(), s.Bin, id, "", s.Site.Options)
	if err != nil {
		s.Fatal(err)
	}
	return s.detach(on, choice)
}

// patience bounds every wait; far more than any needs.
const patience = 2 * time.Minute

func (s *stage) until(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

// info reads the state of a run as another command would.
func (s *stage) info(r *run.Run) *run.Info {
	s.Helper()
	if err := r.Refresh(s.Context()); err != nil {
		s.Fatal(err)
	}
	info, err := r.Info()
	if err != nil {
		s.Fatal(err)
	}
	return info
}

// end waits until nobody lives the run.
func (s *stage) end(r *run.Run) *run.Info {
	s.Helper()
	s.until("run "+r.ID+" has ended", func() bool {
		live, err := r.Live()
		if err != nil {
			s.Fatal(err)
		}
		return !live
	})
	return s.info(r)
}

func (s *stage) wants(r *run.Run, state run.State, code exit.Code) *run.Info {
	s.Helper()
	info := s.end(r)
	if info.State != state || info.ExitCode == nil || *info.ExitCode != code {
		got := "none"
		if info.ExitCode != nil {
			got = fmt.Sprint(*info.ExitCode)
		}
		s.Fatalf("run %s is %s with exit code %s (%s), want %s with %d", r.ID, info.State, got, info.Error, state, code)
	}
	return info
}

// untilSaved waits for an acknowledged checkpoint of the newest attempt.
func (s *stage) untilSaved(on backend.Backend, r *run.Run) {
	s.Helper()
	s.until("a checkpoint is there", func() bool {
		return len(s.checkpoints(on, r)) > 0
	})
}

func (s *stage) checkpoints(on backend.Backend, r *run.Run) []checkpoint.Entry {
	s.Helper()
	entries, err := checkpoint.Entries(s.Context(), on.Checkpoints(s.Context(), r))
	if err != nil {
		s.Fatal(err)
	}
	return slices.Collect(entries)
}

// final is the state that the run has ended in.
func (s *stage) final(on backend.Backend, r *run.Run) string {
	s.Helper()
	entries := s.checkpoints(on, r)
	if len(entries) == 0 || entries[0].Manifest == nil || entries[0].Manifest.Reason != checkpoint.Final {
		s.Fatalf("run %s has no final checkpoint, but %v", r.ID, entries)
	}
	return entries[0].Manifest.StateHash
}

func walk(extra ...string) []string {
	return append([]string{fmt.Sprintf("steps=%d", steps)}, extra...)
}

// same wants a walk to have ended as every other.
func (s *stage) same(on backend.Backend, r *run.Run) {
	s.Helper()
	if got := s.final(on, r); got != walkHash {
		s.Errorf("run %s ends in the state %s, want %s", r.ID, got, walkHash)
	}
}

func testSucceeds(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	info := s.wants(r, run.Succeeded, exit.OK)
	if info.Step != steps || len(info.Result) != 1 || len(info.Attempts) != 1 || !info.Exact {
		s.Errorf("it ends as %+v", info)
	}
	s.same(on, r)
}

func testListed(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	s.wants(r, run.Succeeded, exit.OK)
	other := s.Open(s.T) // another command
	if err := other.Registry().Refresh(s.Context(), ""); err != nil {
		s.Fatal(err)
	}
	runs, broken, err := other.Registry().List()
	if err != nil || len(broken) > 0 || len(runs) != 1 {
		s.Fatalf("%v, %v, %v", runs, broken, err)
	}
	info, err := runs[0].Info()
	if err != nil || info.RunID != "a" || info.State != run.Succeeded || info.Step != steps {
		s.Errorf("%+v, %v", info, err)
	}
}

func (s *stage) stop(r *run.Run, now bool) {
	s.Helper()
	s.until("run "+r.ID+" has stopped", func() bool {
		live, err := r.Live()
		if err == nil && live {
			if request, _ := r.StopRequest(); request == nil {
				err = r.AskToStop(run.StopRequest{Now: now, Code: exit.Stopped})
			}
		}
		if err != nil {
			s.Fatal(err)
		}
		return !live
	})
}

// testDetachedByTwo has a run that nobody lives gone on with by several commands at the same moment.
func testDetachedByTwo(s *stage) {
	choice, err := s.choose(s.Open(s.T), s.programs.Walk, "a", walk(slow)...) // so that it lives when the last one comes
	if err != nil {
		s.Fatal(err)
	}
	choice.Run.Unlock()
	const commands = 3
	sites := make([]backend.Backend, commands)
	for i := range sites {
		sites[i] = s.Open(s.T)
	}
	answers := make([]error, commands)
	var group sync.WaitGroup
	for i, on := range sites {
		group.Go(func() {
			choice, err := launch.Resume(s.Context(), on.Registry(), s.Bin, "a", "", s.Site.Options)
			if err == nil {
				err = on.Detach(s.Context(), choice.Run)
				choice.Run.Unlock()
			}
			answers[i] = err
		})
	}
	group.Wait()
	detached := 0
	var on backend.Backend
	for i, err := range answers {
		switch {
		case err == nil:
			detached++
			on = sites[i]
		case exit.Of(err) != exit.StillRunning:
			s.Errorf("one that was too late: %v, want exit code %d", err, exit.StillRunning)
		}
	}
	if detached != 1 {
		s.Fatalf("%d have detached the run: %v", detached, answers)
	}
	r, err := on.Registry().Get("a")
	if err != nil {
		s.Fatal(err)
	}
	if info := s.wants(r, run.Succeeded, exit.OK); len(info.Attempts) != 1 {
		s.Errorf("it has lived %d attempts, want 1", len(info.Attempts))
	}
	s.same(on, r)
}

// testDetachedAgain repeats a Detach that had no time for it: after that error the run is nobody's, and as good as before.
func testDetachedAgain(s *stage) {
	on := s.Open(s.T)
	choice, err := s.choose(on, s.programs.Walk, "a", walk()...)
	if err != nil {
		s.Fatal(err)
	}
	ended, end := context.WithCancel(s.Context())
	end()
	if err := on.Detach(ended, choice.Run); err == nil {
		s.Error("a Detach whose context has ended says that the run is lived")
	}
	r := s.detach(on, choice)
	s.wants(r, run.Succeeded, exit.OK)
	s.same(on, r)
}

func testStopped(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	s.untilSaved(on, r)
	s.stop(r, false)
	info := s.wants(r, run.Stopped, exit.Stopped)
	if m := s.checkpoints(on, r)[0].Manifest; m.Step != info.Step { // by chance that of the cadence, with nothing to add
		s.Errorf("stopped at step %d, and the newest checkpoint is %s at step %d", info.Step, m.Reason, m.Step)
	}
	r = s.goOn(s.Open(s.T), "a")
	if info = s.wants(r, run.Succeeded, exit.OK); len(info.Attempts) != 2 {
		s.Errorf("%d attempts, want 2", len(info.Attempts))
	}
	s.same(on, r)
}

func testStoppedNow(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	s.untilSaved(on, r)
	s.stop(r, true)
	s.wants(r, run.Stopped, exit.Stopped)
	r = s.goOn(on, "a")
	s.wants(r, run.Succeeded, exit.OK)
	s.same(on, r)
}

func testStoppedEarly(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	s.stop(r, false)
	if info := s.end(r); info.State != run.Stopped {
		s.Errorf("it is %s: %s", info.State, info.Error)
	}
	r = s.goOn(on, "a")
	s.wants(r, run.Succeeded, exit.OK)
	s.same(on, r)
}

func testKilled(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	s.untilSaved(on, r)
	s.same(on, s.killed(on, r))
}

// killed kills the attempt that lives, and sees the run to its end.
func (s *stage) killed(on backend.Backend, r *run.Run) *run.Run {
	s.Helper()
	r = s.kill(on, r)
	s.wants(r, run.Succeeded, exit.OK)
	return r
}

// kill kills the attempt that lives, and has the run go on.
func (s *stage) kill(on backend.Backend, r *run.Run) *run.Run {
	s.Helper()
	if s.Kill(s.T, r) {
		return r
	}
	if info := s.end(r); info.State != run.Interrupted {
		s.Fatalf("a killed run is %s", info.State)
	}
	return s.goOn(on, r.ID)
}

func testKilledOften(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	for n := 1; n <= 3; n++ {
		s.until("an attempt has saved", func() bool {
			entries := s.checkpoints(on, r)
			return len(entries) > 0 && entries[0].Manifest != nil && entries[0].Manifest.Attempt == n
		})
		r = s.kill(on, r)
	}
	s.wants(r, run.Succeeded, exit.OK)
	if attempts := s.info(r).Attempts; len(attempts) != 4 {
		s.Errorf("%d attempts, want 4", len(attempts))
	}
	s.same(on, r)
}

func testLocked(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	if _, err := s.choose(s.Open(s.T), s.programs.Walk, "a", walk(slow)...); exit.Of(err) != exit.StillRunning {
		s.Errorf("another command gets %v, want exit code 7", err)
	}
	s.wants(r, run.Succeeded, exit.OK)
}

func testFailed(s *stage) {
	on := s.Open(s.T)
	r := s.faulty(on, "error")
	info := s.wants(r, run.Failed, exit.TrainFailed)
	if len(info.Attempts) != 1 || !strings.Contains(info.Error, "experiment failed") {
		s.Errorf("%+v", info)
	}
}

func testRetried(s *stage) {
	on := s.Open(s.T)
	choice, err := s.chooseWith(on, s.programs.Faulty, "a", func(o *run.Options) {
		o.Retries, o.Env, o.Cadence = 1, map[string]string{"FAULTY": "error"}, run.Cadence{Steps: 1000}
	})
	if err != nil {
		s.Fatal(err)
	}
	r := s.detach(on, choice)
	// The first attempt leaves a checkpoint, so it uses no retry up.
	if info := s.wants(r, run.Failed, exit.TrainFailed); len(info.Attempts) != 3 {
		s.Errorf("%d attempts, want 3", len(info.Attempts))
	}
}

func testResumedAfterFailure(s *stage) {
	on := s.Open(s.T)
	r := s.faulty(on, "error")
	s.wants(r, run.Failed, exit.TrainFailed)
	r = s.goOn(on, "a")
	if info := s.wants(r, run.Failed, exit.TrainFailed); len(info.Attempts) != 2 {
		s.Errorf("%d attempts, want 2", len(info.Attempts))
	}
}

func testPanicked(s *stage) {
	r := s.faulty(s.Open(s.T), "panic")
	s.wants(r, run.Failed, exit.Plugin)
}

// stopped begins a run, and stops it behind a checkpoint or two.
func (s *stage) stopped(on backend.Backend) *run.Run {
	s.Helper()
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	s.until("two checkpoints are there", func() bool { return len(s.checkpoints(on, r)) > 1 })
	s.stop(r, false)
	s.wants(r, run.Stopped, exit.Stopped)
	return r
}

func testCorrupt(s *stage) {
	on := s.Open(s.T)
	r := s.stopped(on)
	newest := s.checkpoints(on, r)[0].ID
	damaged := Source("checkpoints/a/"+newest+"/walkers.f64", []byte("damaged"))
	if err := s.Volume(s.T).Put(s.Context(), []backend.Source{damaged}, backend.PutOptions{}); err != nil {
		s.Fatal(err)
	}
	r = s.goOn(on, "a")
	info := s.wants(r, run.Succeeded, exit.OK)
	if from := info.Attempts[1].ResumedFrom; from == "" || from == newest {
		s.Errorf("it resumed from %q, and %s was damaged", from, newest)
	}
	s.same(on, r)
}

func testLost(s *stage) {
	on := s.Open(s.T)
	r := s.stopped(on)
	for _, entry := range s.checkpoints(on, r) {
		if err := s.Volume(s.T).Remove(s.Context(), "checkpoints/a/"+entry.ID, true); err != nil {
			s.Fatal(err)
		}
	}
	choice, err := launch.Resume(s.Context(), on.Registry(), s.Bin, "a", "", s.Site.Options)
	if err == nil {
		err = on.Detach(s.Context(), choice.Run)
		choice.Run.Unlock()
	}
	if err == nil { // it is found out by whoever lives the run
		if info := s.end(r); info.ExitCode != nil {
			err = exit.Errorf(*info.ExitCode, "%s", info.Error)
		}
	}
	if exit.Of(err) != exit.BadCheckpoint {
		s.Errorf("%v, want exit code 66", err)
	}
	if info := s.info(r); len(info.Attempts) != 1 {
		s.Errorf("another attempt began: %+v", info.Attempts)
	}
}

// events reads what a run has logged, or follows it to its end.
func (s *stage) events(r *run.Run, last int, onwards bool) (events []eventlog.Event) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for event, err := range follow.New(ctx, r, follow.Notices{}).Events(ctx, last, onwards) {
		if err != nil {
			s.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// numbered wants the events of each attempt to be numbered from 1 without gaps.
func (s *stage) numbered(events []eventlog.Event) {
	s.Helper()
	attempt, last := 0, uint64(0)
	for _, event := range events {
		if event.Attempt != attempt {
			attempt, last = event.Attempt, 0
		}
		if event.Seq == 0 { // what nobody was left to log
			continue
		}
		if event.Seq != last+1 {
			s.Fatalf("attempt %d has event %d behind event %d", attempt, event.Seq, last)
		}
		last = event.Seq
	}
}

func testEvents(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	s.wants(r, run.Succeeded, exit.OK)
	events := s.events(r, follow.All, false)
	s.numbered(events)
	if len(events) < 3 || events[0].Kind != eventlog.Started || events[len(events)-1].Kind != eventlog.Ended {
		s.Errorf("the events are %+v", events)
	}
}

func testFollowed(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	followed := s.events(r, follow.All, true)
	s.numbered(followed)
	s.wants(r, run.Succeeded, exit.OK)
	kept := s.events(r, follow.All, false)
	if !slices.EqualFunc(followed, kept, func(a, b eventlog.Event) bool {
		return a.Seq == b.Seq && a.Message == b.Message && a.Time.Equal(b.Time)
	}) {
		s.Errorf("followed: %d events\n%+v\nkept: %d\n%+v", len(followed), followed, len(kept), kept)
	}
}

func testLast(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	s.wants(r, run.Succeeded, exit.OK)
	all, last := s.events(r, follow.All, false), s.events(r, 2, false)
	if len(last) != 2 || last[0].Seq != all[len(all)-2].Seq || last[1].Seq != all[len(all)-1].Seq {
		s.Errorf("the last two of %d are %+v", len(all), last)
	}
}

func testNameTaken(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	s.wants(r, run.Succeeded, exit.OK)
	if _, err := on.Registry().Create(s.Context(), &run.Spec{RunID: "a", Config: []byte("{}")}); !errors.Is(err, fs.ErrExist) {
		s.Errorf("another run of that name: %v, want fs.ErrExist", err)
	}
}

func testFinished(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	s.wants(r, run.Succeeded, exit.OK)
	choice, err := s.choose(s.Open(s.T), s.programs.Walk, "a", walk()...)
	if err != nil || !choice.Finished {
		s.Errorf("%+v, %v", choice, err)
	}
}

func testMismatch(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk()...)
	s.wants(r, run.Succeeded, exit.OK)
	if _, err := s.choose(s.Open(s.T), s.programs.Walk, "a", "steps=7"); exit.Of(err) != exit.Mismatch {
		s.Errorf("%v, want exit code 65", err)
	}
}

func testFound(s *stage) {
	on := s.Open(s.T)
	s.stopped(on)
	choice, err := s.choose(on, s.programs.Walk, "", walk(slow)...)
	if err != nil || choice.Run.ID != "a" {
		s.Fatalf("%+v, %v", choice, err)
	}
	s.wants(s.detach(on, choice), run.Succeeded, exit.OK)
}

func testUnreadable(s *stage) {
	on := s.Open(s.T)
	s.stopped(on)
	damaged := Source("runs/a/run.json", []byte("{"))
	if err := s.Volume(s.T).Put(s.Context(), []backend.Source{damaged}, backend.PutOptions{}); err != nil {
		s.Fatal(err)
	}
	choice, err := s.choose(on, s.programs.Walk, "", walk(slow)...)
	if exit.Of(err) != exit.BadCheckpoint || !strings.Contains(err.Error(), "may be the one to go on with") {
		s.Errorf("%+v, %v, want exit code 66", choice, err)
	}
}

func testNoRun(s *stage) {
	on := s.Open(s.T)
	if err := on.Registry().Refresh(s.Context(), "nobody"); err != nil {
		s.Fatal(err)
	}
	if _, err := on.Registry().Get("nobody"); exit.Of(err) != exit.NotFound {
		s.Errorf("%v, want exit code 5", err)
	}
}

func testCheckpoints(s *stage) {
	on := s.Open(s.T)
	r := s.begin(on, s.programs.Walk, "a", walk(slow)...)
	s.wants(r, run.Succeeded, exit.OK)
	store := on.Checkpoints(s.Context(), r)
	entries := s.checkpoints(on, r)
	if len(entries) == 0 || len(entries) > run.DefaultOptions().Keep {
		s.Errorf("%d checkpoints are kept", len(entries))
	}
	for _, entry := range entries {
		if m, err := store.Verify(s.Context(), entry.ID); err != nil || m.StateHash != entry.Manifest.StateHash {
			s.Errorf("%s: %v", entry.ID, err)
		}
	}
}

func testFiles(s *stage) {
	on := s.Open(s.T)
	r := s.faulty(on, "environment")
	s.end(r)
	volume := s.Volume(s.T)
	for _, path := range []string{"files/a/environment.txt", "runs/a/run.json", "runs/a/result.json"} {
		if _, err := volume.Stat(s.Context(), path); err != nil {
			s.Error(err)
		}
	}
	entries, err := volume.List(s.Context(), "runs/a", true)
	if err != nil || !slices.ContainsFunc(entries, func(e backend.Entry) bool { return strings.Contains(e.Path, "tfevents") }) {
		s.Errorf("no event file among %v, %v", entries, err)
	}
}
