package modal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/backendtest"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/digest"
	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// examination is of volume "outputs", with the mtt-host of this source.
func examination(t *testing.T) modal.Examination {
	return modal.Examination{Volume: "outputs", Host: func() (modal.Upload, error) {
		path := builtHost(t)
		sum, err := digest.File(path)
		if err != nil {
			return modal.Upload{}, err
		}
		info, err := os.Stat(path)
		return modal.Upload{SHA256: sum, Path: path, Size: info.Size()}, err
	}}
}

var hostOnce struct {
	sync.Once
	dir, path string
	err       error
}

// builtHost is built once, where the other tests' programs are.
func builtHost(t *testing.T) string {
	t.Helper()
	hostOnce.Do(func() {
		if hostOnce.dir, hostOnce.err = os.MkdirTemp("", "mtt-host"); hostOnce.err != nil {
			return
		}
		hostOnce.path = filepath.Join(hostOnce.dir, "mtt-host")
		command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", hostOnce.path, "github.com/mtt-project/mtt/host/cmd/mtt-host")
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if said, err := command.CombinedOutput(); err != nil {
			hostOnce.err = fmt.Errorf("build mtt-host: %w\n%s", err, said)
		}
	})
	if hostOnce.err != nil {
		t.Fatal(hostOnce.err)
	}
	return hostOnce.path
}

// found returns the check of that name.
func found(t *testing.T, checks []doctor.Check, name string) doctor.Check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c doctor.Check) bool { return c.Name == "modal: "+name })
	if i < 0 {
		t.Fatalf("no check %q: %+v", name, checks)
	}
	return checks[i]
}

// want wants a check of that name with that status, and words in what was found or is to be done.
func want(t *testing.T, checks []doctor.Check, name string, status doctor.Status, words ...string) {
	t.Helper()
	check := found(t, checks, name)
	if check.Status != status {
		t.Errorf("%s: want %s; got %+v", name, status, check)
	}
	for _, word := range words {
		if !strings.Contains(check.Found+"\n"+check.Remedy, word) {
			t.Errorf("%s: want %q; got %+v", name, word, check)
		}
	}
}

func TestExamineOnlyReads(t *testing.T) {
	l := newLab(t)
	checks := modal.Examine(t.Context(), examination(t))
	if code := doctor.Code(checks); code != exit.OK {
		t.Errorf("exit code %d: %+v", code, checks)
	}
	want(t, checks, "credentials", doctor.OK)
	want(t, checks, "calls", doctor.OK)
	want(t, checks, "app", doctor.Note, "first run makes it")
	want(t, checks, "volume", doctor.Note, "first run makes it")
	want(t, checks, "sandboxes", doctor.OK, "none lives")
	want(t, checks, "supervisors' Secret", doctor.Note)
	for _, kind := range []string{"apps", "volumes", "sandboxes", "secrets"} {
		if made, _ := filepath.Glob(filepath.Join(l.State, kind, "*.json")); len(made) > 0 {
			t.Errorf("it made %v", made)
		}
	}
}

// Where the answers of calls are lost, too: nothing that is found may depend on luck.
func TestATryOfModalFindsItAsItIs(t *testing.T) {
	for name, settings := range map[string][]string{
		"quiet":    nil,
		"troubled": {"--seed", "3", "--set", "error-rate=0.1", "--set", "drop-streams=0.1", "--set", "repeat-streams=0.2", "--set", "lose-creates=1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, settings...)
			e := examination(t)
			e.Try = true
			checks := modal.Examine(t.Context(), e)
			if code := doctor.Code(checks); code != exit.OK {
				t.Errorf("exit code %d: %+v", code, checks)
			}
			for _, name := range []string{"files", "exclusive creation", "image", "names", "output", "bootstrap", "sync", "stdin", "exit status"} {
				want(t, checks, "try: "+name, doctor.OK)
			}
			l.Tell(t, "set", "error-rate=0", "drop-streams=0")
			entries, err := l.open(t, "outputs").List(t.Context(), "", false)
			if err != nil || len(entries) != 1 || entries[0].Path != "bin" {
				t.Errorf("it leaves %v behind (%v); want bin alone", entries, err)
			}
			checks = modal.Examine(t.Context(), examination(t))
			want(t, checks, "sandboxes", doctor.OK, "none lives")
			want(t, checks, "worker on the volume", doctor.OK)
		})
	}
}

func TestATryThatModalDoesNotLetThroughSaysSo(t *testing.T) {
	newLab(t, "--set", "volume-limit=1000")
	e := examination(t)
	e.Try, e.Patience = true, time.Second
	checks := modal.Examine(t.Context(), e)
	if code := doctor.Code(checks); code != exit.Unavailable {
		t.Errorf("exit code %d, want 69: %+v", code, checks)
	}
	want(t, checks, "try: files", doctor.Problem, "it holds 1000 bytes")
}

func TestExamineWithoutCredentials(t *testing.T) {
	newLab(t)
	for name, value := range map[string]string{"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": "as-nobodys"} {
		t.Setenv(name, value)
		checks := modal.Examine(t.Context(), examination(t))
		want(t, checks, "credentials", doctor.Problem, "modal token new")
		if code := doctor.Code(checks); code != exit.Credentials {
			t.Errorf("%s=%q: exit code %d, want 4", name, value, code)
		}
		t.Setenv("MODAL_TOKEN_ID", "ak-somebodys")
	}
}

func TestExamineWhereNobodyListens(t *testing.T) {
	newLab(t)
	t.Setenv("MODAL_SERVER_URL", "http://127.0.0.1:1")
	checks := modal.Examine(t.Context(), examination(t))
	want(t, checks, "connection", doctor.Problem, "cannot be reached", "status.modal.com")
	if code := doctor.Code(checks); code != exit.Unavailable {
		t.Errorf("exit code %d, want 69", code)
	}
}

func TestExamineRefusesAVolumeOfVersion1(t *testing.T) {
	l := newLab(t)
	e := examination(t)
	e.Volume, e.Try = l.create(v1), true
	checks := modal.Examine(t.Context(), e)
	want(t, checks, "volume", doctor.Problem, "version 1", "--volume NAME")
	want(t, checks, "try", doctor.Note, "nothing was tried")
	if code := doctor.Code(checks); code != exit.Usage {
		t.Errorf("exit code %d, want 2", code)
	}
}

func TestExamineAnEnvironmentThatIsNotThere(t *testing.T) {
	newLab(t)
	e := examination(t)
	e.Environment = "nowhere"
	want(t, modal.Examine(t.Context(), e), "environment", doctor.Problem, "no environment nowhere", "main", "modal environment create nowhere")
}

func TestExamineNamesTheCallsThatModalDoesNotHave(t *testing.T) {
	l := newLab(t)
	between := l.Between(t)
	between.Refuse("VolumePutFiles2", "SandboxGetLogs")
	t.Setenv("MODAL_SERVER_URL", between.URL)
	checks := modal.Examine(t.Context(), examination(t))
	want(t, checks, "calls", doctor.Problem, "VolumePutFiles2", "SandboxGetLogs", "newer version")
	if check := found(t, checks, "calls"); strings.Contains(check.Found, "VolumeListFiles2") {
		t.Errorf("it names calls that are there: %+v", check)
	}
	if code := doctor.Code(checks); code != exit.Unavailable {
		t.Errorf("exit code %d, want 69", code)
	}
}

func TestExamineAWorkerThatCannotRunThere(t *testing.T) {
	newLab(t)
	e := examination(t)
	script := filepath.Join(t.TempDir(), "mtt-host")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	e.Host = func() (modal.Upload, error) { return modal.Upload{Path: script}, nil }
	want(t, modal.Examine(t.Context(), e), "worker", doctor.Problem, "linux/amd64", "make build")
	e.Host = func() (modal.Upload, error) {
		return modal.Upload{}, exit.Errorf(exit.NotFound, "it is not there").Hint("Build it: make build")
	}
	want(t, modal.Examine(t.Context(), e), "worker", doctor.Problem, "not there", "make build")
}

// A machine that lives for nobody costs what one costs that works.
func TestExamineFindsSandboxesThatDoNothing(t *testing.T) {
	l := newLab(t)
	on, err := modal.Open(t.Context(), modal.Options{Volume: "outputs", Create: modal.AppAndVolume})
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	volume := l.open(t, "outputs")
	for _, file := range []string{
		"runs/over/run.json", "runs/over/result.json",
		"runs/ended/run.json", "runs/ended/attempts/9/claim.json", "runs/ended/attempts/10/claim.json", "runs/ended/attempts/10/end.json",
		"runs/alone/run.json", "runs/alone/attempts/1/claim.json",
		"runs/well/run.json", "runs/well/attempts/1/claim.json", "runs/well/attempts/1/end.json", "runs/well/attempts/2/claim.json",
		"doctor-abc/synced",
	} {
		if err := volume.Put(t.Context(), []backend.Source{backendtest.Source(file, []byte("{}"))}, backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"mtt-over.s1", "mtt-ended", "mtt-ended.s1", "mtt-alone", "mtt-well", "mtt-well.s2", "mtt-gone", "doctor-abc", "build-0123", "somebodys",
	} {
		l.sandbox(t, "mtt-outputs", name)
	}
	checks := modal.Examine(t.Context(), examination(t))
	want(t, checks, "contents", doctor.OK, "4 run(s), 4 of them live", "runs")
	want(t, checks, "sandboxes", doctor.OK, "10 live: 4 worker(s), 3 supervisor(s), 1 build(s), 2 other(s)")
	want(t, checks, "sandbox mtt-over.s1", doctor.Warning, "is over", "modal app stop mtt-outputs")
	want(t, checks, "sandbox mtt-ended", doctor.Warning, "has ended", "mtt-host stop ended --now")
	want(t, checks, "sandbox mtt-alone", doctor.Warning, "without a supervisor", "mtt-host resume alone -d")
	want(t, checks, "sandbox mtt-gone", doctor.Warning, "no run gone on volume outputs")
	want(t, checks, "sandbox doctor-abc", doctor.Warning, "by itself")
	want(t, checks, "sandbox somebodys", doctor.Warning, "not mtt's")
	want(t, checks, "left behind", doctor.Warning, "mtt-host volume rm -r outputs doctor-abc -b modal")
	for _, check := range checks {
		if strings.HasSuffix(check.Name, "mtt-well") || strings.HasSuffix(check.Name, ".s2") || strings.HasSuffix(check.Name, "build-0123") || check.Name == "modal: sandbox mtt-ended.s1" {
			t.Errorf("nothing is odd about it: %+v", check)
		}
	}
	if code := doctor.Code(checks); code != exit.OK {
		t.Errorf("exit code %d, want 0: none of this stops runs", code)
	}
}
