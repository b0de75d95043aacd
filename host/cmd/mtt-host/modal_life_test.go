package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// A supervisor leaves before its limit, and nothing of the attempt is to be seen of that. It has no GPU and no place of its
// own choice, so that Modal does not preempt it.
func TestASupervisorHandsOverBeforeItsLimit(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	alone := m.aloneHere(strolls()...)
	between := m.fake.Between(t)
	m.env = append(slices.Clone(m.env), "MODAL_SERVER_URL="+between.URL)
	m.expect(0, nil, strolls("--name", "r", "-d", "--gpu", "H100", "--device", "go", "--supervisor-limit", "2s", "--stop-grace", "1h")...)
	m.is("r", "RUNNING")
	between.RefuseWith(codes.ResourceExhausted, "SandboxCreate") // Modal has no machine for the successor now
	var workers, supervisors []sandbox
	m.until("a supervisor was refused a successor", func() bool {
		workers, supervisors = m.sandboxes("r")
		return strings.Contains(m.printed()[supervisors[len(supervisors)-1].ID], "Modal has no machine for it now")
	})
	refused := len(supervisors)
	between.RefuseWith(codes.OK)
	m.expect(0, nil, "wait", "r")
	m.equal(m.end("r"), alone)
	workers, supervisors = m.sandboxes("r")
	if len(workers) != 1 || len(supervisors) <= refused {
		t.Errorf("there were %d workers and %d supervisors, and %d when one was refused", len(workers), len(supervisors), refused)
	}
	for i, s := range supervisors {
		d := s.definition(m)
		if d.GetResources().GetGpuConfig().GetCount() != 0 || d.GetCloudProvider() != 0 || d.GetCloudProviderStr() != "" || len(d.GetSchedulerPlacement().GetRegions()) > 0 || s.ExitCode != 0 {
			t.Errorf("%s has left with %d, and is %v", s.Name, s.ExitCode, d)
		}
		want := i + 2
		if i == len(supervisors)-1 {
			want = 0
		}
		end := decode[struct{ Successor int }](m.bench, m.read("runs", "r", "supervisors", strconv.Itoa(i+1), "end.json"))
		if end.Successor != want {
			t.Errorf("the successor of supervisor %d is %d, want %d", i+1, end.Successor, want)
		}
	}
	// Nor does Modal's limit for a worker come before the end of its grace.
	limit, err := time.ParseDuration(workers[0].argument(m, "--limit"))
	if d := workers[0].definition(m); err != nil || limit+time.Hour > time.Duration(d.GetTimeoutSecs())*time.Second || d.GetTimeoutSecs() > 24*60*60 {
		t.Errorf("the worker saves after %s, with a grace of an hour, and its Sandbox ends after %d seconds (%v)", limit, d.GetTimeoutSecs(), err)
	}
	m.expect(2, []string{"--stop-grace"}, strolls("--name", "s", "--stop-grace", "24h")...)
}

func TestAnAttemptSavesBeforeItsLimit(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d", "--attempt-limit", "4s", "--checkpoint-every", "1h")...)
	m.until("the second attempt trains", func() bool {
		info := m.modalInfo("r")
		return info.State == "RUNNING" && len(info.Attempts) > 1
	})
	m.stopNow("r")
	workers, _ := m.sandboxes("r")
	if workers[0].Status != "FAILURE" || workers[0].ExitCode != 75 {
		t.Errorf("the first attempt's Sandbox has ended with %s and %d", workers[0].Status, workers[0].ExitCode)
	}
	m.resumedAtAStop("r", 2)
}

func (m *modalBench) stopNow(run string) {
	m.Helper()
	m.expect(0, nil, "stop", run, "--now")
	m.expect(6, nil, "wait", run)
}

// resumedAtAStop wants an attempt to have gone on from a checkpoint that the one before has made on its way down.
func (m *modalBench) resumedAtAStop(run string, attempt int) {
	m.Helper()
	claim := m.fetch(run)[attempt]
	if shown := decode[checkpointInfo](m.bench, m.expect(0, nil, "checkpoints", "show", run, claim.ResumedFrom).stdout); claim.ResumedFrom == "" || shown.Reason != "stop" {
		m.Errorf("attempt %d went on from %+v", attempt, shown)
	}
}

// What happens to a worker that nobody has asked for is no end of the run.
func TestASignalOrACrashOfTheWorkerIsRecoveredFrom(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "preempt-signal=TERM", "preempt-grace=30s")
	m.expect(0, nil, endless("--name", "r", "-d", "--checkpoint-every", "1h")...)
	trains := func(attempt int) {
		m.until("an attempt trains", func() bool {
			info := m.modalInfo("r")
			return info.State == "RUNNING" && len(info.Attempts) == attempt
		})
	}
	trains(1)
	m.fake.Tell(t, "preempt", sandboxName("r"))
	trains(2)
	workers, _ := m.sandboxes("r")
	if err := m.worker(workers[1]).Signal(syscall.SIGQUIT); err != nil { // upon which a program of Go's crashes
		t.Fatal(err)
	}
	trains(3)
	m.stopNow("r")
	workers, _ = m.sandboxes("r")
	if workers[1].ExitCode != 2 {
		t.Errorf("the crash has the exit code %d", workers[1].ExitCode)
	}
	if info := m.show("r"); info.Attempts[0].State != "INTERRUPTED" || info.Attempts[1].State != "INTERRUPTED" {
		t.Errorf("the attempts are %+v", info.Attempts)
	}
	m.resumedAtAStop("r", 2)
}

// worker finds the process of a worker.
func (m *modalBench) worker(of sandbox) *os.Process {
	m.Helper()
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		command, _ := os.ReadFile(path)
		environment, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
		if bytes.Contains(environment, []byte("MODAL_SANDBOX_ID="+of.ID)) && bytes.Contains(command, []byte("/mtt-host\x00work\x00")) && !bytes.HasPrefix(command, []byte("sh\x00")) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil {
				process, err := os.FindProcess(pid)
				if err == nil {
					return process
				}
			}
		}
	}
	m.Fatalf("there is no process of %s", of.ID)
	return nil
}

// What began a run lives it to its end, whatever goes on with it.
func TestAnotherMttHostNeverTakesARunOver(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	raw, err := os.ReadFile(hostPath)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(m.tmp), "mtt-host")
	if err := os.WriteFile(other, append(raw, "another version"...), 0o700); err != nil {
		t.Fatal(err)
	}
	m.expect(0, nil, strolls("--name", "r", "-d")...)
	m.saved("r", 150)
	m.fake.Tell(t, "preempt", supervisorName("r", 1))
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.is("r", "INTERRUPTED") // a machine that was told to end may take a moment
	m.check(m.startCommand(exec.Command(other, "resume", "r")).wait(), 0)
	workers, supervisors := m.sandboxes("r")
	if len(workers) < 2 || len(supervisors) != 2 {
		t.Fatalf("there were %d workers and %d supervisors", len(workers), len(supervisors))
	}
	want := workers[0].argument(m, "/mtt/outputs")
	for _, s := range slices.Concat(workers, supervisors) {
		if got := s.argument(m, "/mtt/outputs"); got != want {
			t.Errorf("%s ran %s, and the run began with %s", s.Name, got, want)
		}
	}
	// It is another one, which a run of its own shows.
	m.check(m.startCommand(exec.Command(other, strolls("--name", "s", "--seed", "1")...)).wait(), 0)
	if workers, _ := m.sandboxes("s"); workers[0].argument(m, "/mtt/outputs") == want {
		t.Error("both have the same digest")
	}
}

// Nobody would see to a Sandbox whose supervisor leaves before it could record it.
func TestASupervisorThatCannotGoOnLeavesNoSandboxInTheQueue(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "gpus=queued")
	between := m.fake.Between(t)
	m.env = append(slices.Clone(m.env), "MODAL_SERVER_URL="+between.URL)
	m.expect(0, nil, endless("--name", "r", "-d", "--gpu", "H100", "--device", "go")...)
	m.eventually("a Sandbox queues", func() bool {
		workers, _ := m.sandboxes("r")
		return len(workers) == 1
	})
	// Nothing can be recorded before the supervisor says what is waited for.
	between.RefuseWith(codes.InvalidArgument, "VolumePutFiles2")
	m.until("the supervisor has left", func() bool {
		_, supervisors := m.sandboxes("r")
		return !supervisors[0].alive()
	})
	m.gone("r")
}

// While a name is taken by what cannot be found, it is waited for, and not asked for as fast as can be.
func TestARunWaitsForANameThatIsTaken(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	between := m.fake.Between(t)
	m.env = append(slices.Clone(m.env), "MODAL_SERVER_URL="+between.URL)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	between.RefuseWith(codes.AlreadyExists, "SandboxCreate")
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.is("r", "QUEUED")
	between.RefuseWith(codes.OK)
	m.is("r", "RUNNING")
	m.stopNow("r")
	if info := m.show("r"); len(info.Attempts) != 2 {
		t.Errorf("the attempts are %+v", info.Attempts)
	}
}

// The hours until somebody has a run go on that died altogether are none of its own, and a stop that comes then is one.
func TestTheTimeInWhichARunWasDeadDoesNotCount(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	const limit = 15 * time.Second
	m.expect(0, nil, endless("--name", "r", "-d", "--timeout", limit.String())...)
	m.saved("r", 100)
	die := func() {
		workers, supervisors := m.sandboxes("r")
		m.preempt("TERMINATED", supervisors[len(supervisors)-1].ID)
		m.preempt("TERMINATED", workers[len(workers)-1].ID)
		m.until("both have ended", func() bool { return m.modalInfo("r").State == "INTERRUPTED" })
	}
	die()
	time.Sleep(limit)
	m.expect(0, nil, "resume", "r", "-d")
	m.until("another attempt trains", func() bool {
		info := m.modalInfo("r")
		return info.State == "RUNNING" && len(info.Attempts) == 2
	})
	m.fetch("r")
	workers, _ := m.sandboxes("r")
	if over := decode[struct{ Over time.Time }](m.bench, m.read("runs", "r", "attempts", "1", "end.json")).Over; over.Sub(workers[0].Finished).Abs() > time.Millisecond {
		t.Errorf("the first attempt's Sandbox has ended at %s, and %s is on record", workers[0].Finished, over)
	}
	die()
	m.expect(0, nil, "resume", "r", "-d", "--timeout", "0")
	m.fake.Tell(t, "set", "delay=200ms") // so that it comes before the new supervisor has begun
	m.expect(0, nil, "stop", "r", "--now")
	m.fake.Tell(t, "set", "delay=0s")
	m.expect(6, []string{"run r is STOPPED"}, "wait", "r")
	m.stoppedBy("r", true)
}

// Whoever takes over knows what an attempt lived in whose supervisor was killed while it waited, also if it lives no more.
func TestASandboxThatNobodyHasRecordedIsFound(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "gpus=queued")
	m.expect(0, nil, endless("--name", "r", "-d", "--gpu", "T4,H100", "--device", "go")...)
	m.is("r", "QUEUED")
	m.fake.Tell(t, "preempt", supervisorName("r", 1))
	m.fake.Tell(t, "set", "gpus=started")
	m.saved("r", 100)
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.is("r", "INTERRUPTED")
	m.expect(0, nil, "resume", "r", "-d", "--gpu", "H100")
	m.until("another attempt trains", func() bool {
		info := m.modalInfo("r")
		return info.State == "RUNNING" && len(info.Attempts) == 2
	})
	m.stopNow("r")
	m.fetch("r")
	workers, _ := m.sandboxes("r")
	recorded := decode[struct {
		ID   string `json:"sandbox_id"`
		GPU  string
		Time time.Time
	}](m.bench, m.read("runs", "r", "attempts", "1", "sandbox.json"))
	if recorded.ID != workers[0].ID || recorded.GPU != "T4" || recorded.Time.After(workers[0].Started.Add(time.Millisecond)) { // Modal has times in floating point
		t.Errorf("%+v is recorded, of %s, which began at %s", recorded, workers[0].ID, workers[0].Started)
	}
}
