package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// authToken is how every auth token of the fake's begins.
var authToken = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// What stops a command before it has begun is said as what it is.
func TestErrorsOfModalAreToldApart(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "old", "--version", "1")
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
	with()
	m.fake.MustModal(t, "volume", "create", "echo", "--version", "2")
	m.expect(0, nil, "volume", "put", "echo", pluginPath("walk"), "/walk")
	m.fake.Tell(t, "set", "echo-credentials=true", "error-code=PERMISSION_DENIED")
	for setting, c := range map[string]struct {
		code int
		echo string
		args []string
	}{
		"error-rate=1":   {4, "(asked by …, …)", []string{"volume", "ls", "echo"}}, // the first call, for an auth token
		"drop-streams=1": {4, "(asked by …, …)", []string{"volume", "ls", "echo"}},
		"delay=0s":       {5, "(asked by …, …, …)", []string{"run", "--dry-run", pluginPath("walk"), "--secret", "nothing=KEY"}},
	} {
		m.fake.Tell(t, "set", setting)
		r := m.run(c.args...)
		m.check(r, c.code, c.echo)
		if strings.Contains(r.stderr, secret) || strings.Contains(r.stderr, m.fake.Variable(t, "MODAL_TOKEN_ID")) || strings.Contains(r.stderr, authToken) {
			t.Errorf("with %s, the credentials are repeated: %s", setting, r.stderr)
		}
		m.fake.Tell(t, "set", "error-rate=0", "drop-streams=0")
	}
	m.fake.Tell(t, "set", "echo-credentials=false", "error-code=UNAVAILABLE")
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
			for name, stop := range map[string][]string{"s": {"stop", "s"}, "n": {"stop", "n", "--now"}} {
				m.expect(0, nil, endless("--name", name, "--gpu", "H100", "--device", "go", "-d")...)
				m.is(name, "QUEUED")
				m.expect(0, nil, stop...) // nobody waits for a machine that nobody wants any more
				m.expect(6, []string{"run " + name + " is STOPPED"}, "wait", name)
				m.gone(name)
			}
		})
	}
}

// gone wants no Sandbox of a run to be left.
func (m *modalBench) gone(run string) {
	m.Helper()
	workers, supervisors := m.sandboxes(run)
	for _, sandbox := range slices.Concat(workers, supervisors) {
		if sandbox.alive() {
			m.Errorf("%s lives", sandbox.Name)
		}
	}
}

// Supervisors come and go while a run waits, and it is the same attempt that does.
func TestARunThatFindsNoGPUIsHandedOver(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"refused", "queued"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newModalBench(t, "gpus="+how)
			handedOver := func(run string, times int) {
				m.until("supervisors have handed over", func() bool {
					_, supervisors := m.sandboxes(run)
					return len(supervisors) > times
				})
			}
			m.expect(0, nil, strolls("--name", "r", "--gpu", "h100,A100", "--device", "go", "-d", "--supervisor-limit", "1s")...)
			handedOver("r", 2)
			m.fake.Tell(t, "set", "gpus=started")
			m.expect(0, nil, "wait", "r")
			if info := m.modalInfo("r"); len(info.Attempts) != 1 {
				t.Errorf("it has had %d attempts", len(info.Attempts))
			}
			if gpu := decode[struct{ GPU string }](m.bench, m.expect(0, nil, "volume", "get", "outputs", "runs/r/attempts/1/sandbox.json", "-").stdout).GPU; gpu != "h100" {
				t.Errorf("the GPU on record is %q", gpu)
			}

			m.fake.Tell(t, "set", "gpus="+how)
			m.expect(0, nil, endless("--name", "s", "--gpu", "H100", "--device", "go", "-d", "--supervisor-limit", "1s")...)
			handedOver("s", 1)
			m.expect(0, nil, "stop", "s")
			m.expect(6, []string{"run s is STOPPED"}, "wait", "s")
			m.gone("s")
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

// What there is lets small files through, and no checkpoint: no attempt gets further, and what was saved is whole.
func TestADiskThatStaysFullEndsTheRunForNow(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, strolls("--name", "r", "-d", "-S", "walkers=50000", "--keep", "100")...)
	m.saved("r", 150)
	var size int64
	for _, item := range decode[struct {
		Items []struct {
			Size int64 `json:"size_bytes"`
		}
	}](m.bench, m.expect(0, nil, "volume", "ls", "outputs", "-r", "-o", "json").stdout).Items {
		size += item.Size
	}
	m.fake.Tell(t, "set", fmt.Sprintf("volume-limit=%d", size+200_000)) // half of a checkpoint
	m.expect(75, []string{"3 attempts in a row have ended without progress", "its machine may be full"}, "wait", "r")
	if state := m.show("r").State; state != "INTERRUPTED" {
		t.Errorf("it is %s", state)
	}
	m.fake.Tell(t, "set", "volume-limit=0")
	if m.verify("r") == 0 {
		t.Error("no checkpoint is left")
	}
	m.expect(0, []string{"resumed from checkpoint"}, "resume", "r")
}

func TestAVolumeThatIsDeletedInMidRunStopsIt(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d", "--checkpoint-every", "1h")...)
	m.is("r", "RUNNING")
	m.fake.MustModal(t, "volume", "delete", "outputs", "--yes")
	m.until("nothing lives", func() bool {
		workers, supervisors := m.sandboxes("r")
		return !slices.ContainsFunc(slices.Concat(workers, supervisors), sandbox.alive)
	})
	workers, supervisors := m.sandboxes("r")
	if len(workers) != 1 {
		t.Errorf("it was tried again on nothing: %+v", workers)
	}
	// Whichever of them finds out first.
	if said := m.printed(); supervisors[0].ExitCode != 5 {
		t.Errorf("the supervisor has left with %d; they have said\n%s\n%s", supervisors[0].ExitCode, said[supervisors[0].ID], said[workers[0].ID])
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
	long := []string{"-S", "steps=6000", "--checkpoint-every", "600"} // much is done while it trains
	alone := m.aloneHere(strolls(long...)...)
	m.expect(0, nil, strolls(append(long, "--name", "r", "-d")...)...)
	m.saved("r", 600)
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
	tokens := []string{secret, id, authToken}
	hasToken := func(text string) bool {
		return slices.ContainsFunc(tokens, func(token string) bool { return strings.Contains(text, token) })
	}
	seen := m.watchProcesses()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	m.fake.MustModal(t, "secret", "create", "nothing", "GOPROXY=off")
	said := fmt.Sprint(
		m.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=environment", "--gpu", "H100", "--device", "go"),
		m.expect(3, nil, "run", pluginPath("faulty"), "--name", "s", "--env-var", "FAULTY=error"),
		m.expect(2, nil, "run", filepath.Join(root, "plugins", "walk"), "--build", "--build-secret", "nothing=GOPROXY"),
		m.report("r"), m.report("s"))
	_, ofR := m.sandboxes("r")
	_, ofS := m.sandboxes("s")
	supervised := false
	for _, p := range seen() {
		supervisor := slices.ContainsFunc(slices.Concat(ofR, ofS), func(s sandbox) bool { return strings.Contains(p.environment, s.ID) }) // in its HOME
		supervised = supervised || supervisor && hasToken(p.environment)
		if hasToken(p.command) {
			t.Errorf("the process list has a token: %q", p.command)
		}
		if hasToken(p.environment) && !supervisor {
			t.Errorf("a process of a Sandbox has a token in its environment: %q", p.command)
		}
	}
	if !supervised {
		t.Error("no supervisor was seen, with what it knows Modal by")
	}
	if hasToken(said) {
		t.Error("a token was printed")
	}
	here := t.TempDir()
	for _, dir := range []string{"runs", "files", "checkpoints", "bin", "src"} {
		m.expect(0, nil, "volume", "get", "outputs", dir, here)
	}
	found := false
	for path, content := range m.files(here) {
		if hasToken(content) {
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
		definition := worker.definition(m)
		if given := definition.GetSecretIds(); len(given) > 0 {
			t.Errorf("the worker's Sandbox was given Secrets %v", given)
		}
		if hasToken(fmt.Sprint(definition.GetEntrypointArgs(), worker.image(m))) {
			t.Errorf("the worker's Sandbox has a token: %q, %q", definition.GetEntrypointArgs(), worker.image(m))
		}
	}
	if len(supervisors) == 0 || len(supervisors[0].definition(m).GetSecretIds()) != 1 {
		t.Errorf("the supervisor's Sandbox was given no Secret: %+v", supervisors)
	}
}

// ofProcess is what the system tells of one.
type ofProcess struct{ command, environment string }

// watchProcesses looks at the processes of this machine, as often as can be, until seen is called: all command lines, and
// the environments of what lives in the fake's Sandboxes.
func (m *modalBench) watchProcesses() (seen func() []ofProcess) {
	m.Helper()
	done, looked := make(chan struct{}), make(chan struct{})
	found := map[ofProcess]bool{}
	home := []byte("HOME=" + m.fake.State)
	go func() {
		defer close(looked)
		for {
			paths, _ := filepath.Glob("/proc/[0-9]*")
			for _, path := range paths {
				command, err := os.ReadFile(filepath.Join(path, "cmdline"))
				environment, _ := os.ReadFile(filepath.Join(path, "environ"))
				if !bytes.Contains(environment, home) {
					environment = nil
				}
				// One that begins another program between the two has the environment of that.
				again, _ := os.ReadFile(filepath.Join(path, "cmdline"))
				if err == nil && bytes.Equal(command, again) {
					found[ofProcess{string(command), string(environment)}] = true
				}
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() (all []ofProcess) {
		close(done)
		<-looked
		for p := range found {
			all = append(all, p)
		}
		return all
	}
}

// A Sandbox gets all keys of a Secret: one with Modal's credentials is refused, and if they come into it later, they are
// gone before anything has begun.
func TestASecretWithModalsCredentialsReachesNoPlugin(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "secret", "create", "service", "SERVICE_KEY=a-key", "MODAL_TOKEN_SECRET=as-planted")
	m.expect(2, []string{"the Secret service has the key MODAL_TOKEN_SECRET"}, endless("--name", "r", "-d", "--secret", "service=SERVICE_KEY")...)
	r := m.expect(2, []string{"--env-var MODAL_TOKEN_SECRET: Modal's credentials"}, endless("--name", "r", "-d", "--env-var", "MODAL_TOKEN_SECRET=as-planted")...)
	if strings.Contains(r.stderr, "as-planted") {
		t.Errorf("the value was printed: %s", r.stderr)
	}
	if workers, supervisors := m.sandboxes("r"); len(workers)+len(supervisors) > 0 {
		t.Error("a run was begun")
	}
	m.fake.MustModal(t, "secret", "create", "--force", "service", "SERVICE_KEY=a-key")
	m.expect(0, nil, endless("--name", "r", "-d", "--secret", "service=SERVICE_KEY")...)
	m.saved("r", 100)
	m.fake.MustModal(t, "secret", "create", "--force", "service", "SERVICE_KEY=another-key", "MODAL_TOKEN_SECRET=as-planted", "MODAL_TOKEN_ID=ak-planted")
	m.fake.Tell(t, "preempt", sandboxName("r"))
	m.until("the second attempt trains", func() bool {
		info := m.show("r")
		return len(info.Attempts) == 2 && info.State == "RUNNING" && info.Step > info.Attempts[1].ResumedStep
	})
	seen := m.watchProcesses()
	m.saved("r", m.checkpoints("r")[0].Step+1)
	given := 0
	for _, p := range seen() {
		if strings.Contains(p.environment, "SERVICE_KEY=another-key") {
			given++
		}
		if strings.Contains(p.environment, "-planted") {
			t.Errorf("%q has a token in its environment", p.command)
		}
	}
	if given < 2 { // the host and the plugin
		t.Errorf("%d processes of the second attempt were seen with the Secret", given)
	}
	m.expect(0, nil, "stop", "r", "--now")
}
