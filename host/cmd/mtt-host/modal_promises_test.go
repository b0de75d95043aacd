package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// onModal is the bench of a promise about Modal, with a stand-in that has these settings.
func (b *bench) onModal(settings ...string) *modalBench {
	b.Helper()
	return newModalBench(b.T, settings...)
}

// accountLimits are what an account of Modal's has of calls, of money and of machines.
var accountLimits = []promise{
	{"a run whose calls are throttled at random ends as one left alone", func(b *bench) {
		m := b.onModal("throttle-rate=0.2", "throttle-streams=0.05", "throttle-policy=0.8", "throttle-after=100ms")
		m.expect(0, nil, strolls("--name", "r")...)
		m.once("r")
	}},
	{"a burst in which nothing is let through ends neither run nor watcher", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, strolls("--name", "r", "-d", "-S", "steps=3000")...)
		watching := m.start("attach", "r")
		watching.waitFor("saved step ")
		m.fake.Tell(b.T, "set", "throttle-for=4s")
		m.check(watching.wait(), 0)
		m.expect(0, nil, "wait", "r")
		m.once("r")
	}},
	{"a burst at the start delays a run, whatever the code", func(b *bench) {
		m := b.onModal("throttle-for=3s", "throttle-policy=0.5", "throttle-after=200ms", "throttle-code=ABORTED")
		m.expect(0, nil, strolls("--name", "r")...)
		m.once("r")
	}},
	{"a block that is throttled more often than it would be tried is put", func(b *bench) {
		m := b.onModal("throttle-calls=BlockPut", "throttle-next=9", "throttle-policy=1", "throttle-after=1s")
		m.fake.MustModal(b.T, "volume", "create", "data", "--version", "2")
		m.expect(0, nil, "volume", "put", "data", pluginPath("walk"), "/walk")
	}},
	{"a block that is throttled more often than it would be tried is fetched", func(b *bench) {
		m := b.onModal()
		m.fake.MustModal(b.T, "volume", "create", "data", "--version", "2")
		m.put(m.volumeID("data"), "/small", []byte("small"))
		m.fake.Tell(b.T, "set", "throttle-calls=BlockGet", "throttle-next=9", "throttle-policy=1", "throttle-after=1s")
		if got := m.expect(0, nil, "volume", "get", "data", "/small", "-").stdout; got != "small" {
			m.Errorf("it is %q", got)
		}
	}},
	{"a command that waits says what for, and ends on Ctrl-C", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, strolls("--name", "r")...)
		m.fake.Tell(b.T, "set", "throttle-for=1h", "throttle-calls=VolumeListFiles2")
		listing := m.start("volume", "ls", "outputs")
		listing.waitFor("VolumeListFiles rate limit exceeded")
		listing.signal(syscall.SIGINT)
		m.check(listing.wait(), 130)
	}},
	{"what many calls wait for, each for a short time, is said once", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, strolls("--name", "r", "-S", "steps=10")...)
		m.expect(0, nil, "show", "r") // fetches what is missing
		m.fake.Tell(b.T, "set", "throttle-limits=*:3/1", "throttle-policy=1", "throttle-after=800ms")
		for _, args := range [][]string{{"show", "r"}, {"wait", "r"}} {
			if r := m.expect(0, nil, args...); strings.Count(r.stderr, "asking again") != 1 {
				m.Errorf("%q does not say once what it waits for: %s", args, r.stderr)
			}
		}
	}},
	{"tb lists all runs at once, and more and more rarely while nothing changes", func(b *bench) {
		m := b.onModal()
		runs := []string{"r", "s", "t"}
		for _, name := range runs {
			m.expect(0, nil, strolls("--name", name, "-S", "steps=10")...)
		}
		lists := func(script string) int {
			m.tensorBoard(script)
			before := m.fake.Calls(b.T)["VolumeListFiles2"].All
			m.expect(0, nil, append([]string{"tb"}, runs...)...)
			return m.fake.Calls(b.T)["VolumeListFiles2"].All - before
		}
		time.Sleep(5 * time.Second) // what was written a moment ago is fetched again: its time might not tell the next version from it
		lists("exit 0")             // fetches what is missing
		// After 5 and 15 s, and then not before 35 s.
		if began, all := lists("exit 0"), lists("exec sleep 22"); all-began > 3 {
			m.Errorf("tb has begun with %d lists, and made %d more in 22 s", began, all-began)
		}
	}},
	{"a run that a billing limit keeps from a machine is QUEUED with Modal's words", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, endless("--name", "r", "-d")...)
		m.saved("r", 100)
		watching := m.start("attach", "r")
		watching.waitFor("saved step ")
		m.fake.Tell(b.T, "set", "billing-limit=SandboxCreate")
		m.fake.Tell(b.T, "preempt", sandboxName("r"))
		if waiting := m.is("r", "QUEUED").Waiting; !strings.Contains(waiting, "billing limit") || !strings.Contains(waiting, "spend limit reached") {
			m.Errorf("it waits for %q", waiting)
		}
		watching.waitFor("billing limit")
		m.expect(0, nil, "stop", "r") // nobody waits for the next try
		m.check(watching.wait(), 6)
	}},
	{"a run that a billing limit keeps from its supervisor says so", func(b *bench) {
		m := b.onModal("billing-limit=SandboxCreate")
		running := m.start(strolls("--name", "r")...)
		running.waitFor("billing limit: Sandbox creation failed: workspace billing cycle spend limit reached")
		running.signal(syscall.SIGINT)
		m.check(running.wait(), 130, "mtt-host resume r")
		m.fake.Tell(b.T, "set", "billing-limit=")
	}},
	{"Sandboxes that end without a machine are replaced, and no attempt counts them", func(b *bench) {
		m := b.onModal("unplaced=1") // the supervisor's
		m.expect(0, nil, strolls("--name", "r", "-d")...)
		m.saved("r", 150)
		m.fake.Tell(b.T, "set", "unplaced=4", "unplaced-status=INTERNAL_FAILURE")
		m.fake.Tell(b.T, "preempt", sandboxName("r"))
		m.expect(0, nil, "wait", "r")
		if attempts := m.modalInfo("r").Attempts; len(attempts) != 2 {
			m.Errorf("it has had the attempts %+v", attempts)
		}
	}},
	{"a Sandbox that ends without a machine while nobody looks is replaced by the same attempt", func(b *bench) {
		m := b.onModal("start-delay=200ms")
		m.expect(0, nil, endless("--name", "r", "-d")...)
		m.saved("r", 100)
		m.fake.Tell(b.T, "set", "unplaced=1", "start-delay=2s")
		m.fake.Tell(b.T, "preempt", sandboxName("r"))
		var queued sandbox
		m.until("the next Sandbox is in the queue", func() bool {
			workers, _ := m.sandboxes("r")
			queued = workers[len(workers)-1]
			return len(workers) == 2 && len(queued.Tags) > 0
		})
		m.fake.Tell(b.T, "preempt", supervisorName("r", 1))
		m.until("it has ended", func() bool {
			workers, _ := m.sandboxes("r")
			return !workers[1].alive() && workers[1].Started.IsZero()
		})
		m.fake.Tell(b.T, "set", "start-delay=0s")
		m.expect(0, nil, "resume", "r", "-d")
		m.until("it trains again", func() bool { return m.modalInfo("r").State == "RUNNING" })
		m.expect(0, nil, "stop", "r")
		if attempts := m.modalInfo("r").Attempts; len(attempts) != 2 {
			m.Errorf("it has had the attempts %+v", attempts)
		}
	}},
	{"any Sandbox that ends without a machine is replaced, that of a build and of doctor too", func(b *bench) {
		m := b.onModal("unplaced=2", "unplaced-status=INTERNAL_FAILURE")
		walk, err := filepath.Abs("../../../plugins/walk")
		if err != nil {
			b.Fatal(err)
		}
		m.expect(0, []string{"another is made"}, "run", walk, "--build", "--name", "r", "-S", "steps=10")
		m.once("r")
		m.fake.Tell(b.T, "set", "unplaced=2")
		m.expect(0, []string{"another is made"}, "doctor", "-b", "modal", "--try")
	}},
	{"a successor without a machine is replaced before its predecessor leaves", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, endless("--name", "r", "-d", "--supervisor-limit", "4s")...)
		m.saved("r", 100)
		m.fake.Tell(b.T, "set", "unplaced=2")
		m.until("a successor has taken over", func() bool {
			_, supervisors := m.sandboxes("r")
			last := supervisors[len(supervisors)-1]
			return len(supervisors) > 3 && last.alive() && !last.Started.IsZero()
		})
		m.expect(0, nil, "stop", "r")
		if attempts := m.modalInfo("r").Attempts; len(attempts) != 1 {
			m.Errorf("it has had the attempts %+v", attempts)
		}
	}},
	{"a supervisor asks rarely while nothing happens, and hears of a stop at once", func(b *bench) {
		m := b.onModal("gpus=queued")
		m.expect(0, nil, endless("--name", "r", "-d", "--gpu", "H100", "--device", "go")...)
		m.is("r", "QUEUED")
		const watched = 8 * time.Second
		before := m.fake.Calls(b.T)["VolumeListFiles2"].All
		time.Sleep(watched)
		if lists := m.fake.Calls(b.T)["VolumeListFiles2"].All - before; lists > 1 {
			m.Errorf("it has listed %d times in %s", lists, watched)
		}
		m.expect(0, nil, "stop", "r")
		if written := m.fake.Calls(b.T)["SandboxStdinWrite"].All; written == 0 {
			m.Error("nobody has told the supervisor")
		}
	}},
}

func TestLimitsOfAnAccountOnModalEndNothing(t *testing.T) { hold(t, accountLimits) }

// once wants a run to have ended in one attempt.
func (m *modalBench) once(run string) {
	m.Helper()
	info := m.modalInfo(run)
	if len(info.Attempts) != 1 || info.State != "SUCCEEDED" {
		m.Errorf("it is %s after the attempts %+v", info.State, info.Attempts)
	}
}

// machines are what a run on Modal gets to execute on.
var machines = []promise{
	{"what a mount says of its room keeps no checkpoint from it", func(b *bench) {
		m := b.onModal("mount-free=8192")
		m.expect(0, nil, strolls("--name", "r")...)
		m.once("r")
	}},
	{"a machine whose disk is full costs an attempt, and no more", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, strolls("--name", "r", "-d", "-S", "steps=3000")...)
		m.saved("r", 150)
		m.fake.Tell(b.T, "set", "disk-full=1")
		m.fake.Tell(b.T, "preempt", sandboxName("r"))
		m.expect(0, nil, "wait", "r")
		if attempts := fmt.Sprint(m.modalInfo("r").Attempts); !strings.Contains(attempts, "the disk of its machine may be full") {
			m.Errorf("no attempt met it: %s", attempts)
		}
	}},
	{"a Sandbox that is ended for its memory is named, and three in a row end the run", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, endless("--name", "r", "-d")...)
		for attempt, status := range []string{"MEMORY_MANAGER_EVICTION", "MEMORY_THRASHING_EVICTION", "KERNEL_OOM_KILL"} {
			m.saved("r", 100*int64(attempt+1)) // each gets further, and none would get to the end
			m.until("it trains", func() bool { return m.preempt(status, sandboxName("r")) })
		}
		m.expect(75, []string{"3 attempts in a row have run out of memory", "mtt-host resume r --memory SIZE"}, "wait", "r")
		for i, attempt := range m.modalInfo("r").Attempts {
			if !strings.Contains(attempt.Cause, "--memory") || !strings.Contains(attempt.Cause, []string{"MEMORY_MANAGER_EVICTION", "MEMORY_THRASHING_EVICTION", "KERNEL_OOM_KILL"}[i]) {
				m.Errorf("attempt %d has ended: %s", i+1, attempt.Cause)
			}
		}
		m.expect(0, nil, "resume", "r", "--memory", "1GiB", "-d") // which counts anew
		m.until("it trains", func() bool { return m.preempt("KERNEL_OOM_KILL", sandboxName("r")) })
		m.is("r", "RUNNING")
		m.stopNow("r")
	}},
	{"an end that no client knows is said by its number, and recovered from", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, endless("--name", "r", "-d")...)
		m.saved("r", 100)
		m.preempt("4711", sandboxName("r"))
		m.until("the next attempt trains", func() bool { info := m.modalInfo("r"); return len(info.Attempts) == 2 && info.State == "RUNNING" })
		m.stopNow("r")
		if cause := m.modalInfo("r").Attempts[0].Cause; !strings.Contains(cause, "status 4711") {
			m.Errorf("it has ended: %s", cause)
		}
	}},
	{"a Sandbox may have waited in its queue for an hour, and saves before Modal ends it", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, strolls("--name", "r")...)
		workers, supervisors := m.sandboxes("r")
		for _, sandbox := range []sandbox{workers[0], supervisors[0]} {
			limit, err := time.ParseDuration(sandbox.argument(m, "--limit"))
			if most := time.Duration(sandbox.definition(m).GetTimeoutSecs()) * time.Second; err != nil || most-limit < time.Hour || limit < 12*time.Hour {
				m.Errorf("%s leaves after %s, and Modal ends it after %s (%v)", sandbox.Name, limit, most, err)
			}
		}
	}},
}

func TestAMachineOnModalThatCannotIsReplaced(t *testing.T) { hold(t, machines) }

// objects are what Modal keeps: images, blocks and names.
var objects = []promise{
	{"a build that Modal ends is repeated, whatever the reason", func(b *bench) {
		m := b.onModal("end-builds=1", "build-status=TERMINATED")
		m.expect(0, []string{"TERMINATED; building it again"}, strolls("--name", "r")...)
		for _, status := range []string{"TIMEOUT", "INTERNAL_FAILURE", "MEMORY_MANAGER_EVICTION", "4711"} {
			m.fake.Tell(b.T, "set", "end-builds=1", "build-status="+status)
			m.expect(0, []string{status + "; building it again"}, strolls("--name", "r-"+strings.ToLower(status), "-d", "--image", "image-for-"+strings.ToLower(status))...)
		}
	}},
	{"a build that fails by itself is not repeated", func(b *bench) {
		m := b.onModal("end-builds=1", "build-status=FAILURE")
		m.expect(2, []string{"the image cannot be built", "--image"}, strolls("--name", "r")...)
	}},
	{"a build that Modal ends again and again ends the command", func(b *bench) {
		m := b.onModal("end-builds=100")
		m.expect(69, []string{"TERMINATED, 5 times", "https://status.modal.com"}, strolls("--name", "r", "-d")...)
	}},
	{"blocks that end in zeros are the same when they come back", func(b *bench) {
		m := b.onModal()
		m.fake.MustModal(b.T, "volume", "create", "data", "--version", "2")
		file := filepath.Join(b.TempDir(), "zeros")
		if err := os.WriteFile(file, append([]byte("what counts"), make([]byte, 9<<20)...), 0o644); err != nil {
			b.Fatal(err)
		}
		m.expect(0, nil, "volume", "put", "data", file, "/zeros")
		m.expect(0, nil, "volume", "put", "data", file, "/zeros") // another content would have to be forced
		m.expect(0, []string{"1 unchanged"}, "volume", "sync", "data", "/", filepath.Dir(file))
	}},
	{"a record that is replaced between its listing and its reading is read as one of the two", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, strolls("--name", "r", "-S", "steps=10")...)
		waiting := func(reason string) {
			m.put(m.volumeID("outputs"), "/runs/r/waiting.json", fmt.Appendf(nil, `{"schema": "mtt.waiting/v1", "attempt": 1, "reason": %q}`, reason))
		}
		for _, reasons := range [][2]string{{"short", "a longer reason"}, {"a reason that is longer still", "short"}} {
			waiting(reasons[0])
			m.fake.Tell(b.T, "set", "throttle-for=1h", "throttle-calls=VolumeGetFile2", "throttle-policy=1", "throttle-after=100ms")
			before := m.fake.Calls(b.T)["VolumeGetFile2"].Throttled
			showing := m.start("show", "r")
			m.until("it is about to read", func() bool { return m.fake.Calls(b.T)["VolumeGetFile2"].Throttled > before })
			waiting(reasons[1])
			m.fake.Tell(b.T, "set", "throttle-for=0s", "throttle-calls=")
			m.check(showing.wait(), 0)
		}
	}},
	{"what a killed worker has left half-written is removed by the next", func(b *bench) {
		m := b.onModal()
		m.expect(0, nil, endless("--name", "r", "-d")...)
		m.saved("r", 100)
		for _, left := range []string{"end.json-1.tmp", "attempts/1/elapsed-2.tmp", "log/1.digest.tmp"} {
			m.put(m.volumeID("outputs"), "/runs/r/"+left, []byte("half"))
		}
		m.preempt("FAILURE", sandboxName("r"))
		m.until("the next attempt trains", func() bool { info := m.modalInfo("r"); return len(info.Attempts) == 2 && info.State == "RUNNING" })
		m.expect(0, nil, "stop", "r")
		if files := m.expect(0, nil, "volume", "ls", "-r", "outputs", "runs/r").stdout; strings.Contains(files, ".tmp") {
			m.Errorf("the volume has:\n%s", files)
		}
	}},
	{"a volume whose app could have no name is refused before anything is made", func(b *bench) {
		m := b.onModal()
		long := strings.Repeat("v", 61)
		m.expect(2, []string{"at most 60 characters"}, strolls("-d", "--volume", long)...)
		m.expect(2, []string{"at most 60 characters"}, "ls", "--volume", long)
		for _, bad := range []string{"bad name", "a/b", "ap-0123456789abcdefghijkl", strings.Repeat("v", 65)} {
			m.expect(2, []string{"cannot be the name of a volume"}, strolls("-d", "--volume", bad)...)
			m.expect(2, []string{"cannot be the name of a volume"}, "volume", "ls", bad)
		}
		for _, kind := range []string{"apps", "sandboxes"} {
			if made, _ := filepath.Glob(filepath.Join(m.fake.State, kind, "*.json")); len(made) > 0 {
				m.Errorf("%s were made: %v", kind, made)
			}
		}
		m.expect(2, []string{"cannot be the name of a volume"}, strolls("-d", "--mount", "bad name:data")...)
		m.expect(0, nil, strolls("-d", "--volume", long[:60])...)
		m.fake.MustModal(b.T, "volume", "create", long, "--version", "2")
		m.expect(0, nil, "volume", "put", long, pluginPath("walk"), "/walk") // what is no volume of runs may have it
		m.expect(0, nil, "volume", "rm", long, "/walk")
	}},
	{"the name of a Secret, an image or an environment that cannot be is refused before anything is made", func(b *bench) {
		m := b.onModal()
		for flag, bad := range map[string][]string{
			"--secret":       {"", "my secret=KEY", "a/b=KEY", strings.Repeat("s", 65) + "=KEY", "s\x1b[1m=KEY", "s=K EY", "s=KEY,", "s=1KEY", "ap-0123456789abcdefghijkl=KEY"},
			"--build-secret": {"my secret=KEY", "s"},
			"--image":        {"", " ", "Debian", "debian:", "debian:a b", "debian\n", "a//b", "debian@sha256:12", ":tag"},
			"--modal-env":    {"my env", "-x", "a/b", "en-123", strings.Repeat("e", 65), "e\n"},
		} {
			for _, value := range bad {
				r := m.expect(2, []string{flag}, strolls("-d", flag, value)...)
				if strings.ContainsAny(r.stderr, "\x1b") {
					m.Errorf("%s %q controls the terminal: %q", flag, value, r.stderr)
				}
			}
		}
		m.env = append(m.env, "MODAL_ENVIRONMENT=my env")
		m.expect(2, []string{`"my env" cannot be the name of an environment`}, "ls")
		if r := m.expect(2, nil, "doctor"); !strings.Contains(r.stdout, `"my env" cannot be the name of an environment`) {
			m.Errorf("doctor says %s", r.stdout)
		}
		m.env = m.env[:len(m.env)-1]
		m.nothing()
	}},
}

func TestWhatModalKeepsIsTakenAsItIs(t *testing.T) { hold(t, objects) }
