package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What stops a command before it has begun is said as what it is.
func TestErrorsOfModalAreToldApart(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "old", "--version", "1")
	m.fake.MustModal(t, "volume", "create", "small", "--version", "2")
	env := m.env
	with := func(more ...string) { m.env = append(slices.Clone(env), more...) }

	secret := m.fake.Variable(t, "MODAL_TOKEN_SECRET")
	with("MODAL_TOKEN_SECRET=as-wrong")
	for _, args := range [][]string{{"ls"}, strolls("-d"), {"volume", "ls", "outputs"}, {"doctor"}} {
		r := m.run(args...)
		m.check(r, 4)
		if said := r.stdout + r.stderr; !strings.Contains(said, "modal token new") || strings.Contains(said, "as-wrong") || strings.Contains(said, secret) {
			t.Errorf("%q has said %v", args, r)
		}
	}
	with("MODAL_TOKEN_ID=", "MODAL_TOKEN_SECRET=")
	m.expect(4, []string{"modal token new"}, "ls")

	with("MODAL_SERVER_URL=http://127.0.0.1:1") // nobody listens
	m.expect(69, []string{"Modal cannot be reached", "https://status.modal.com"}, "ls")
	m.expect(69, []string{"Modal cannot be reached"}, strolls("-d")...)

	with()
	m.expect(2, []string{"volume old", "version 1", "--volume"}, strolls("-d", "--volume", "old")...)
	m.expect(2, []string{"volume old", "version 1"}, "ls", "--volume", "old")
	if listed := m.fake.MustModal(t, "volume", "ls", "old"); strings.Contains(listed, "bin") {
		t.Errorf("something was written to a volume of version 1:\n%s", listed)
	}
	m.fake.Tell(t, "set", "volume-limit=1000000")
	m.expect(2, []string{"volume small is full", "mtt-host volume rm small"}, strolls("-d", "--volume", "small")...)
	m.fake.Tell(t, "set", "volume-limit=0")
	m.expect(2, []string{"--gpu H100!!"}, strolls("-d", "--gpu", "H100!!")...)
	if made, _ := filepath.Glob(filepath.Join(m.fake.State, "sandboxes", "*.json")); len(made) > 0 {
		t.Errorf("Sandboxes were made: %v", made)
	}
}

func TestAGPUThatModalDoesNotHaveEndsTheRun(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	r := m.expect(2, []string{"Modal refuses the Sandbox for X900", "mtt-host resume r --gpu TYPE"}, strolls("--name", "r", "--gpu", "X900", "--device", "go")...)
	if strings.Count(r.stderr, "attempt") > 3 {
		t.Errorf("it was tried again and again: %s", r)
	}
	m.expect(0, nil, "resume", "r", "--gpu", "H100")
	if workers, _ := m.sandboxes("r"); len(workers) != 1 || workers[0].definition(m).GetResources().GetGpuConfig().GetGpuType() != "H100" {
		t.Errorf("the run has had %+v", workers)
	}
}

func TestARunThatFindsNoGPUIsQueued(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"refused", "queued"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newModalBench(t, "gpus="+how)
			m.expect(0, nil, strolls("--name", "r", "--gpu", "H100", "--device", "go", "-d")...)
			if waiting := m.is("r", "QUEUED").Waiting; !strings.Contains(waiting, "H100") {
				t.Errorf("it waits for %q", waiting)
			}
			if listed := m.expect(0, nil, "ls").stdout; !strings.Contains(listed, "QUEUED") {
				t.Errorf("ls says %s", listed)
			}
			m.fake.Tell(t, "set", "gpus=started")
			m.expect(0, nil, "wait", "r")

			m.fake.Tell(t, "set", "gpus="+how)
			m.expect(0, nil, endless("--name", "s", "--gpu", "H100", "--device", "go", "-d")...)
			m.is("s", "QUEUED")
			m.expect(0, nil, "stop", "s") // nobody waits for a machine that nobody wants any more
			m.expect(6, nil, "wait", "s")
			workers, supervisors := m.sandboxes("s")
			for _, sandbox := range slices.Concat(workers, supervisors) {
				if sandbox.alive() {
					t.Errorf("%s lives", sandbox.Name)
				}
			}
		})
	}
}

func TestTheNextGPUOfTheListIsTaken(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "gpus=refused", "gpus-of=H100")
	m.expect(0, nil, strolls("--name", "r", "--gpu", "H100,A100-80GB:2", "--device", "go")...)
	workers, _ := m.sandboxes("r")
	if gpu := workers[0].definition(m).GetResources().GetGpuConfig(); len(workers) != 1 || gpu.GetGpuType() != "A100-80GB" || gpu.GetCount() != 2 {
		t.Errorf("the run was on %v", gpu)
	}
}

func TestAVolumeThatIsFullInMidRunStopsIt(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, strolls("--name", "r", "-d")...)
	m.saved("r", 300)
	m.fake.Tell(t, "set", "volume-limit=1000")
	m.expect(2, []string{"full"}, "wait", "r")
	m.expect(2, []string{"volume outputs", "mtt-host resume r"}, "attach", "r")
	m.fake.Tell(t, "set", "volume-limit=0")
	if m.verify("r") == 0 {
		t.Error("no checkpoint is left")
	}
	alone := m.aloneHere(strolls()...)
	m.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
	m.equal(m.end("r"), alone)
}

func TestAVolumeThatIsDeletedInMidRunStopsIt(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	m.fake.MustModal(t, "volume", "delete", "outputs", "--yes")
	m.until("nothing lives", func() bool {
		workers, supervisors := m.sandboxes("r")
		return !slices.ContainsFunc(slices.Concat(workers, supervisors), sandbox.alive)
	})
	workers, _ := m.sandboxes("r")
	if len(workers) != 1 {
		t.Errorf("it was tried again on nothing: %+v", workers)
	}
	m.expect(5, []string{"there is no volume outputs"}, "show", "r")
	m.expect(5, []string{"there is no volume outputs"}, "resume", "r")
	if listed := m.fake.MustModal(t, "volume", "list"); strings.Contains(listed, "outputs") {
		t.Errorf("the volume was made anew:\n%s", listed)
	}
	// One of the same name that somebody makes has nothing of the run, and is not taken for the one that had.
	m.expect(0, nil, strolls("--name", "other")...)
	m.expect(5, []string{"no run r in volume outputs"}, "resume", "r")
}

func TestAnAppThatIsStoppedByHandLeavesRunsThatGoOn(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	alone := m.aloneHere(strolls()...)
	m.expect(0, nil, strolls("--name", "r", "-d")...)
	m.saved("r", 300)
	m.expect(0, nil, endless("--name", "s", "-d")...)
	m.saved("s", 100)
	watching := m.start("attach", "r")
	watching.waitFor("saved step")
	app := m.modalInfo("r").AppID
	m.fake.MustModal(t, "app", "stop", app, "--yes")
	m.check(watching.wait(), 75, "its supervisor was ended from outside", "the app may have been stopped")
	m.expect(75, []string{"its supervisor was ended from outside"}, "wait", "s")

	// The app that show names is the one that has the run's Sandboxes, before another run makes a new one and after.
	for _, begun := range []bool{false, true} {
		if begun {
			m.expect(0, nil, strolls("--name", "other", "--new", "-S", "steps=100")...)
		}
		if info := m.modalInfo("r"); info.State != "INTERRUPTED" || info.AppID != app || !strings.HasSuffix(info.Dashboard, app) {
			t.Errorf("another run has begun: %v; the run is %+v, want app %s", begun, info, app)
		}
		if said := m.fake.MustModal(t, "app", "logs", app, "--since", "1h"); !strings.Contains(said, `"kind":"saved"`) {
			t.Errorf("app logs says %s", said)
		}
	}
	// Modal is asked of the two that left no word, and of one not after the other.
	between := m.fake.Between(t)
	there := m.elsewhere()
	there.env = append(there.env, "MODAL_SERVER_URL="+between.URL)
	between.Gather(2, "SandboxWait")
	listed := decode[struct{ Items []modalInfo }](m.bench, there.expect(0, nil, "ls", "-o", "json").stdout).Items
	for i, want := range []struct {
		id   string
		code int
	}{{"r", 75}, {"s", 75}, {"other", 0}} {
		if len(listed) != 3 || listed[i].RunID != want.id || *listed[i].ExitCode != want.code {
			t.Fatalf("ls has listed %+v", listed)
		}
	}
	m.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
	m.equal(m.end("r"), alone)
	if now := m.modalInfo("r").AppID; now == app || now != m.modalInfo("other").AppID {
		t.Errorf("what was resumed is in app %s, and was in %s", now, app)
	}
}

// A Modal of a later year, which lacks a call: the supervisor leaves, with 69, and its attempt trains on.
func TestACallThatModalNoLongerHasLeavesTheAttemptUntouched(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	between := m.fake.Between(t)
	env := m.env
	m.env = append(slices.Clone(env), "MODAL_SERVER_URL="+between.URL)
	between.Refuse("VolumePutFiles2")
	m.expect(69, []string{"VolumePutFiles2", "newer version of mtt"}, endless("--name", "r", "-d")...)
	between.Refuse()
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	workers, supervisors := m.sandboxes("r")
	between.Refuse("SandboxWait")
	m.until("the supervisor has left", func() bool {
		_, supervisors = m.sandboxes("r")
		return !supervisors[0].alive()
	})
	if supervisors[0].ExitCode != 69 {
		t.Errorf("the supervisor has left with %d", supervisors[0].ExitCode)
	}
	m.env = env // which reaches a Modal that has it
	if info := m.modalInfo("r"); info.State != "RUNNING" || !strings.Contains(info.Warning, "SandboxWait") || !strings.Contains(info.Warning, "mtt-host resume r") {
		t.Errorf("show has printed %+v", info)
	}
	m.saved("r", m.checkpoints("r")[0].Step+1) // it trains on
	m.expect(0, nil, "resume", "r", "-d")
	m.until("another supervisor lives", func() bool { return m.modalInfo("r").Warning == "" })
	m.expect(0, nil, "stop", "r")
	now, _ := m.sandboxes("r")
	if len(now) != 1 || now[0].ID != workers[0].ID {
		t.Errorf("the attempt did not stay what it was: %+v", now)
	}
}

func TestCredentialsThatAreRotatedInMidRunCostNothing(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 100)
	m.fake.Tell(t, "rotate", "credentials")
	m.expect(4, nil, "show", "r") // with those that do not hold any more
	m.connect(filepath.Dir(m.tmp))
	m.until("the supervisor has left", func() bool {
		return strings.Contains(m.modalInfo("r").Warning, "since its credentials are refused")
	})
	m.saved("r", m.checkpoints("r")[0].Step+1) // it trains on
	m.expect(0, nil, "resume", "r", "-d")
	m.until("another supervisor lives", func() bool { return m.modalInfo("r").Warning == "" })
	m.expect(0, nil, "stop", "r")
	if info := m.modalInfo("r"); len(info.Attempts) != 1 || info.State != "STOPPED" {
		t.Errorf("want the one attempt, stopped; got %+v", info)
	}
}

func TestAnExecutableThatWasTamperedWithIsNotRun(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, strolls("--name", "r")...)
	shown := m.expect(0, nil, "show", "r").stdout
	listed := strings.Fields(m.fake.MustModal(t, "volume", "ls", "outputs", "/bin"))
	if len(listed) != 2 {
		t.Fatalf("want the plugin and the host; got %q", listed)
	}
	for i, name := range listed {
		path := filepath.Join(t.TempDir(), "x")
		m.expect(0, nil, "volume", "get", "outputs", name, path)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1 // of the same size
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		m.expect(0, nil, "volume", "put", "--force", "outputs", path, name)
		run := fmt.Sprintf("r%d", i)
		again := strolls("--name", run, "--seed", fmt.Sprint(i+1))
		if strings.Contains(shown, filepath.Base(name)) {
			m.expect(65, []string{"the run's plugin", "was changed"}, again...)
		} else {
			m.expect(65, []string{"is not what its name says", "mtt-host volume rm outputs bin/", "mtt-host resume " + run}, again...)
			if workers, _ := m.sandboxes(run); len(workers) > 0 {
				t.Errorf("a worker was started: %+v", workers)
			}
		}
		m.expect(0, nil, "volume", "rm", "outputs", name)
		m.expect(0, nil, "resume", run)
	}
}

// No token is where a plugin, a machine with a GPU, a reader of logs or records, or another user of this machine sees it.
func TestNoTokenIsAnywhere(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	secret, id := m.fake.Variable(t, "MODAL_TOKEN_SECRET"), m.fake.Variable(t, "MODAL_TOKEN_ID")
	var commands []string
	looked := make(chan struct{})
	done := make(chan struct{})
	go func() { // the process list, as often as can be
		defer close(looked)
		for {
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range paths {
				if raw, err := os.ReadFile(path); err == nil && (bytes.Contains(raw, []byte(secret)) || bytes.Contains(raw, []byte(id))) {
					commands = append(commands, string(raw))
				}
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	m.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=environment", "--gpu", "H100", "--device", "go")
	m.expect(3, nil, "run", pluginPath("faulty"), "--name", "s", "--env-var", "FAULTY=error")
	said := m.report("r") + m.report("s")
	close(done)
	<-looked
	if len(commands) > 0 {
		t.Errorf("the process list has a token: %q", commands)
	}
	if strings.Contains(said, secret) || strings.Contains(said, id) {
		t.Error("a token was printed")
	}
	here := t.TempDir()
	m.expect(0, nil, "volume", "get", "outputs", "runs", here)
	m.expect(0, nil, "volume", "get", "outputs", "files", here)
	m.expect(0, nil, "volume", "get", "outputs", "checkpoints", here)
	found := false
	for path, content := range m.files(here) {
		if strings.Contains(content, secret) || strings.Contains(content, id) {
			t.Errorf("%s on the volume has a token", path)
		}
		if strings.HasSuffix(path, "environment.txt") {
			found = true
			if strings.Contains(content, "MODAL_TOKEN") {
				t.Errorf("the plugin's environment has\n%s", content)
			}
		}
	}
	if !found {
		t.Error("the plugin has not written its environment")
	}
	workers, supervisors := m.sandboxes("r")
	for _, worker := range workers {
		if given := worker.definition(m).GetSecretIds(); len(given) > 0 {
			t.Errorf("the worker's Sandbox was given Secrets %v", given)
		}
	}
	if len(supervisors) == 0 || len(supervisors[0].definition(m).GetSecretIds()) != 1 {
		t.Errorf("the supervisor's Sandbox was given no Secret: %+v", supervisors)
	}
}
