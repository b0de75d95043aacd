package modalfake_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	modal "github.com/modal-labs/libmodal/modal-go"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// patience bounds what a test waits for; far more than anything here takes.
const patience = time.Minute

// lab is an app with a version 2 volume, which Sandboxes see at /outputs.
type lab struct {
	*testing.T
	fake   *faketest.Fake
	client *faketest.Client
	app    *modal.App
	volume *rawVolume
}

func newLab(t *testing.T, args ...string) *lab {
	t.Helper()
	f := faketest.Start(t, args...)
	return openLab(t, f)
}

func openLab(t *testing.T, f *faketest.Fake) *lab {
	t.Helper()
	c := f.Client(t)
	app, err := c.Apps.FromName(t.Context(), "lab", &modal.AppFromNameParams{CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t, f, c, app, makeVolume(t, c, "outputs", v2)}
}

func (l *lab) create(script string, params modal.SandboxCreateParams) (*modal.Sandbox, error) {
	params.Command = []string{"sh", "-c", script}
	if params.Volumes == nil {
		params.Volumes = map[string]*modal.Volume{"/outputs": {VolumeID: l.volume.id}}
	}
	return l.client.Sandboxes.Create(l.Context(), l.app, l.client.Images.FromRegistry("debian:12", nil), &params)
}

// start starts a Sandbox that runs a script.
func (l *lab) start(script string) *modal.Sandbox {
	l.Helper()
	s, err := l.create(script, modal.SandboxCreateParams{})
	if err != nil {
		l.Fatal(err)
	}
	return s
}

// result waits for the end of a Sandbox.
func (l *lab) result(s *modal.Sandbox) *pb.GenericResult {
	l.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		r, err := l.client.Raw.SandboxWait(l.Context(), pb.SandboxWaitRequest_builder{SandboxId: s.SandboxID, Timeout: 5}.Build())
		if err != nil {
			l.Fatal(err)
		}
		if r.GetResult() != nil {
			return r.GetResult()
		}
	}
	l.Fatalf("Sandbox %s did not end within %s", s.SandboxID, patience)
	return nil
}

func (l *lab) mustEnd(s *modal.Sandbox, want pb.GenericResult_GenericStatus) {
	l.Helper()
	if got := l.result(s); got.GetStatus() != want {
		l.Fatalf("the Sandbox ended as %s, want %s; stderr: %s", got, want, read(l.T, s.Stderr))
	}
}

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// says waits until a Sandbox has printed a line that begins so, and returns the rest of it.
func (l *lab) says(s *modal.Sandbox, begin string) string {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	stream, err := l.client.Raw.SandboxGetLogs(ctx, pb.SandboxGetLogsRequest_builder{SandboxId: s.SandboxID, Timeout: 55}.Build())
	said := ""
	for err == nil {
		for line := range strings.Lines(said) {
			if rest, ok := strings.CutPrefix(line, begin); ok && strings.HasSuffix(rest, "\n") {
				return strings.TrimSpace(rest)
			}
		}
		var batch *pb.TaskLogsBatch
		if batch, err = stream.Recv(); err == nil {
			for _, item := range batch.GetItems() {
				said += item.GetData()
			}
		}
	}
	l.Fatalf("the Sandbox never said %q, only %q: %v", begin, said, err)
	return ""
}

// files are those in the volume, with their content.
func (l *lab) files() map[string]string {
	l.Helper()
	stream, err := l.client.Raw.VolumeListFiles2(l.Context(), pb.VolumeListFiles2Request_builder{VolumeId: l.volume.id, Path: "/", Recursive: true}.Build())
	if err != nil {
		l.Fatal(err)
	}
	files := make(map[string]string)
	for {
		batch, err := stream.Recv()
		if err == io.EOF {
			return files
		}
		if err != nil {
			l.Fatal(err)
		}
		for _, entry := range batch.GetEntries() {
			if entry.GetType() == pb.FileEntry_FILE {
				files[entry.GetPath()] = l.volume.mustGet(entry.GetPath())
			}
		}
	}
}

func (l *lab) mustHave(want map[string]string) {
	l.Helper()
	if got := l.files(); !maps.Equal(got, want) {
		l.Errorf("the volume has %q, want %q", got, want)
	}
}

func TestASandboxSeesItsVolumeEnvironmentAndStdin(t *testing.T) {
	for _, mounts := range []string{"namespaces", "rewriting"} {
		t.Run(mounts, func(t *testing.T) {
			if _, err := exec.Command("unshare", "--user", "--mount", "true").Output(); mounts == "namespaces" && err != nil {
				missing(t, fmt.Sprintf("no user namespaces here: unshare: %v", err))
			}
			l := newLab(t, "--mounts", mounts)
			if _, err := l.volume.put("in/file", []byte("from the volume"), true); err != nil {
				t.Fatal(err)
			}
			secret, err := l.client.Secrets.FromMap(t.Context(), map[string]string{"WHERE": "/outputs/in"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			image := l.client.Images.FromRegistry("debian:12", nil).DockerfileCommands([]string{"RUN false", "ENV IMAGE=yes"}, nil)
			s, err := l.client.Sandboxes.Create(t.Context(), l.app, image, &modal.SandboxCreateParams{
				Command: []string{"sh", "-c", `cat "$WHERE/file"; echo " $IMAGE"; cat; echo trouble >&2; mkdir out; echo here >out/x; sync /outputs; exit 3`},
				Workdir: "/outputs", Secrets: []*modal.Secret{secret}, Volumes: map[string]*modal.Volume{"/outputs": {VolumeID: l.volume.id}},
			})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(s.Stdin, "typed\n")
			if err := s.Stdin.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := read(t, s.Stdout), "from the volume yes\ntyped\n"; got != want {
				t.Errorf("stdout is %q, want %q", got, want)
			}
			if got := read(t, s.Stderr); got != "trouble\n" {
				t.Errorf("stderr is %q", got)
			}
			if r := l.result(s); r.GetStatus() != pb.GenericResult_GENERIC_STATUS_FAILURE || r.GetExitcode() != 3 {
				t.Errorf("the result is %s", r)
			}
			l.mustHave(map[string]string{"in/file": "from the volume", "out/x": "here\n"})
		})
	}
}

func TestOnlyASyncCommits(t *testing.T) {
	l := newLab(t)
	s := l.start(`cd /outputs; echo 1 >a; mkdir -p d; sync d; sync a; echo ready; read go; sync /outputs; echo 2 >a; echo 2 >b; rm -r d; sync; echo synced; read go`)
	l.says(s, "ready")
	l.mustHave(nil) // neither a file's sync nor a directory's is that of the mount point
	fmt.Fprintln(s.Stdin, "go")
	l.says(s, "synced")
	l.mustHave(map[string]string{"a": "1\n"})
	fmt.Fprintln(s.Stdin, "go")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
	l.mustHave(map[string]string{"a": "1\n"})
}

func TestVersion1IsCommittedAtTheEnd(t *testing.T) {
	l := newLab(t)
	first := makeVolume(t, l.client, "first", pb.VolumeFsVersion_VOLUME_FS_VERSION_V1)
	s, err := l.create("echo x >/first/x; sync /first; echo ready; read go", modal.SandboxCreateParams{Volumes: map[string]*modal.Volume{"/first": {VolumeID: first.id}}})
	if err != nil {
		t.Fatal(err)
	}
	l.says(s, "ready")
	if _, err := first.get("x", 0, 0); status.Code(err) != codes.NotFound {
		t.Errorf("before the end: %v, want NotFound", err)
	}
	fmt.Fprintln(s.Stdin, "go")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
	if got := first.mustGet("x"); got != "x\n" {
		t.Errorf("at the end, the file has %q", got)
	}
}

func TestCommitsByOtherRules(t *testing.T) {
	t.Run("end", func(t *testing.T) {
		l := newLab(t, "--set", "commit=end")
		l.mustEnd(l.start("echo x >/outputs/x"), pb.GenericResult_GENERIC_STATUS_SUCCESS)
		l.mustHave(map[string]string{"x": "x\n"})
	})
	t.Run("background", func(t *testing.T) {
		l := newLab(t, "--set", "commit=background", "--set", "commit-every=50ms")
		s := l.start("echo x >/outputs/x; echo ready; read go")
		l.says(s, "ready")
		for deadline := time.Now().Add(patience); l.files()["x"] == ""; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nothing was committed within %s", patience)
			}
		}
	})
}

func TestASandboxDoesNotSeeWhatOthersCommit(t *testing.T) {
	l := newLab(t)
	s := l.start(`echo ready; read go; ls /outputs; echo mine >/outputs/mine; sync /outputs`)
	l.says(s, "ready")
	if _, err := l.volume.put("theirs", []byte("theirs"), true); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s.Stdin, "go")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
	if got := read(t, s.Stdout); got != "ready\n" {
		t.Errorf("the Sandbox saw %q", got)
	}
	l.mustHave(map[string]string{"theirs": "theirs", "mine": "mine\n"}) // and what it commits does not undo theirs
}

func TestWhatASandboxRemovesIsRemoved(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"file", "gone/a", "gone/b/c", "shared/ours", "turned"} {
		if _, err := l.volume.put(name, []byte(name), true); err != nil {
			t.Fatal(err)
		}
	}
	s := l.start(`cd /outputs; echo ready; read go; rm -r file gone shared turned; mkdir turned; echo x >turned/x; ln -s turned/x link; sync /outputs`)
	l.says(s, "ready")
	if _, err := l.volume.put("shared/theirs", []byte("theirs"), true); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s.Stdin, "go")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
	l.mustHave(map[string]string{"shared/theirs": "theirs", "turned/x": "x\n"})
	if got := l.fake.MustModal(t, "volume", "ls", "outputs"); got != "link\nshared\nturned\n" {
		t.Errorf("the command line lists %q", got)
	}
}

func TestPreemptionLosesWhatIsNotCommitted(t *testing.T) {
	for _, want := range []string{"TERMINATED", "FAILURE", "INTERNAL_FAILURE", "SUCCESS"} {
		t.Run(want, func(t *testing.T) {
			l := newLab(t, "--set", "commit=end")
			s := l.start(`echo kept >/outputs/kept; sync /outputs; echo lost >/outputs/lost; sleep 1000 & setsid sleep 1000 & echo ready $!; wait`)
			pid := l.says(s, "ready")
			l.fake.Tell(t, "preempt", "--status", want, s.SandboxID)
			if r := l.result(s); r.GetStatus().String() != "GENERIC_STATUS_"+want || r.GetExitcode() != 0 {
				t.Errorf("the preempted Sandbox reports %s", r)
			}
			l.mustHave(map[string]string{"kept": "kept\n"})
			mustBeGone(t, pid)
		})
	}
}

func mustBeGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if syscall.Kill(n, 0) == syscall.ESRCH || zombie(n) {
			return
		}
	}
	t.Errorf("process %d of a Sandbox that has ended lives", n)
}

// missing ends a test that lacks something: as failed in CI, where all must be there, and as skipped elsewhere.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// zombie: what a Sandbox's process left is the init process's to reap, and not every container has one that does.
func zombie(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(raw), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

func TestAPreemptedSandboxIsWarnedIfAsked(t *testing.T) {
	l := newLab(t, "--set", "preempt-signal=INT", "--set", "preempt-grace=1m")
	s := l.start(`trap 'echo last >/outputs/last; sync /outputs; exit 1' INT; echo ready; while :; do sleep 0.05; done`)
	l.says(s, "ready")
	l.fake.Tell(t, "preempt", "all")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_TERMINATED)
	l.mustHave(map[string]string{"last": "last\n"})
}

func TestPreemptionInMidSyncRemovesNothing(t *testing.T) {
	l := newLab(t)
	for round := range 5 {
		s := l.start(`cd /outputs; i=0; while [ $i -lt 300 ]; do echo $i >$i; i=$((i+1)); done; sync .; echo ready; while :; do echo x >x; sync .; done`)
		l.says(s, "ready")
		time.Sleep(time.Duration(round) * 7 * time.Millisecond) // to meet the sync at another moment
		l.fake.Tell(t, "preempt", "all")
		l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_TERMINATED)
		r, err := l.client.Raw.VolumeListFiles2(t.Context(), pb.VolumeListFiles2Request_builder{VolumeId: l.volume.id, Path: "/"}.Build())
		n := 0
		for err == nil {
			var batch *pb.VolumeListFiles2Response
			batch, err = r.Recv()
			n += len(batch.GetEntries())
		}
		if err != io.EOF || n < 300 {
			t.Fatalf("after a preemption, %d files of 300 are there; %v", n, err)
		}
	}
}

func TestPreemptionCanTearACommit(t *testing.T) {
	l := newLab(t, "--set", "torn-commits=1")
	s := l.start(`cd /outputs; i=0; while [ $i -lt 40 ]; do echo $i >$i; i=$((i+1)); done; echo ready; sleep 1000`)
	l.says(s, "ready")
	l.fake.Tell(t, "preempt", "all")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_TERMINATED)
	if n := len(l.files()); n == 0 || n == 40 {
		t.Errorf("of 40 files, %d are in the volume, want some", n)
	}
}

func TestPreemptionAtRandom(t *testing.T) {
	l := newLab(t, "--set", "preempt-mean=100ms", "--set", "preempt-only-gpu=true")
	spared := l.start("read go")
	gpu, err := l.create("sleep 1000", modal.SandboxCreateParams{GPU: "T4"})
	if err != nil {
		t.Fatal(err)
	}
	l.mustEnd(gpu, pb.GenericResult_GENERIC_STATUS_TERMINATED)
	if code, err := spared.Poll(t.Context()); code != nil || err != nil {
		t.Errorf("a Sandbox without a GPU was preempted: %v, %v", code, err)
	}
	l.fake.Tell(t, "set", "preempt-only-gpu=false")
	l.mustEnd(spared, pb.GenericResult_GENERIC_STATUS_TERMINATED)
}

func TestTerminateAndTimeLimits(t *testing.T) {
	l := newLab(t)
	s := l.start("echo ready; sleep 1000")
	l.says(s, "ready")
	if code, err := s.Terminate(t.Context(), &modal.SandboxTerminateParams{Wait: true}); code != 137 || err != nil {
		t.Errorf("Terminate returns %d, %v; want 137", code, err)
	}
	limited, err := l.create("sleep 1000", modal.SandboxCreateParams{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l.mustEnd(limited, pb.GenericResult_GENERIC_STATUS_TIMEOUT)
	l.fake.Tell(t, "set", "time-limit=100ms")
	l.mustEnd(l.start("sleep 1000"), pb.GenericResult_GENERIC_STATUS_TIMEOUT)
}

func TestANameIsALock(t *testing.T) {
	l := newLab(t, "--set", "lose-creates=1")
	named := modal.SandboxCreateParams{Name: "worker"}
	// The answer to the first attempt is lost, and modal-go tries again by itself.
	if _, err := l.create("read go", named); !isAlreadyExists(err) {
		t.Fatalf("a creation whose answer was lost: %v, want AlreadyExists from the second attempt", err)
	}
	s, err := l.client.Sandboxes.FromName(t.Context(), "lab", "worker", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.create("read go", named); !isAlreadyExists(err) {
		t.Errorf("a second one of that name: %v, want AlreadyExists", err)
	}
	if err := s.Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_FAILURE) // read at the end of stdin
	if _, err := l.client.Sandboxes.FromName(t.Context(), "lab", "worker", nil); err == nil {
		t.Error("a Sandbox that has ended has its name")
	}
	if _, err := l.create("true", named); err != nil {
		t.Errorf("the name is free again, and: %v", err)
	}
}

func isAlreadyExists(err error) bool {
	_, ok := err.(modal.AlreadyExistsError)
	return ok
}

func TestWithoutANameALostAnswerMakesTwo(t *testing.T) {
	l := newLab(t, "--set", "lose-creates=1")
	l.start("read go")
	if got := l.list(false); len(got) != 2 {
		t.Errorf("there are %d Sandboxes, want 2: %q", len(got), got)
	}
}

// list returns the ids of the app's Sandboxes.
func (l *lab) list(finished bool) (ids []string) {
	l.Helper()
	for before := 0.0; ; {
		r, err := l.client.Raw.SandboxList(l.Context(), pb.SandboxListRequest_builder{AppId: l.app.AppID, IncludeFinished: finished, BeforeTimestamp: before}.Build())
		if err != nil {
			l.Fatal(err)
		}
		if len(r.GetSandboxes()) == 0 {
			return ids
		}
		for _, info := range r.GetSandboxes() {
			ids = append(ids, info.GetId())
			before = info.GetCreatedAt()
		}
	}
}

func TestListAndTags(t *testing.T) {
	l := newLab(t)
	var all []string
	for range 12 { // more than one answer has
		all = append(all, l.start("true").SandboxID)
	}
	s := l.start("read go")
	if err := s.SetTags(t.Context(), map[string]string{"run": "r1"}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); len(l.list(false)) != 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of the Sandboxes, %q have not ended", l.list(false))
		}
	}
	got := l.list(true)
	slices.Reverse(got)
	if want := append(all, s.SandboxID); !slices.Equal(got, want) {
		t.Errorf("all Sandboxes are %q, want %q", got, want)
	}
	tagged, err := l.client.Sandboxes.List(t.Context(), &modal.SandboxListParams{Tags: map[string]string{"run": "r1"}})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for one, err := range tagged {
		if found++; err != nil || one.SandboxID != s.SandboxID {
			t.Errorf("by its tag, %v is found; %v", one, err)
		}
	}
	if found != 1 {
		t.Errorf("by its tag, %d Sandboxes are found", found)
	}
}

func TestGPUsAreRefusedForAWhile(t *testing.T) {
	l := newLab(t, "--set", "gpus=refused", "--set", "start-delay=10ms")
	gpu := modal.SandboxCreateParams{GPU: "H100"}
	if _, err := l.create("true", gpu); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("without GPUs: %v, want ResourceExhausted", err)
	}
	l.mustEnd(l.start("true"), pb.GenericResult_GENERIC_STATUS_SUCCESS) // no GPU is none refused
	l.fake.Tell(t, "set", "gpus=queued")
	s, err := l.create("true", gpu)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := s.Poll(t.Context()); code != nil || err != nil {
		t.Errorf("a Sandbox in the queue has ended: %v, %v", code, err)
	}
	l.fake.Tell(t, "set", "gpus-for=100ms")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
}

func TestMountedFilesAreThere(t *testing.T) {
	l := newLab(t)
	program := []byte("#!/bin/sh\necho I run\n")
	sum := fmt.Sprintf("%x", sha(program))
	put, err := l.client.Raw.MountPutFile(t.Context(), pb.MountPutFileRequest_builder{Sha256Hex: sum, Data: program}.Build())
	if err != nil || !put.GetExists() {
		t.Fatal(put, err)
	}
	mount, err := l.client.Raw.MountGetOrCreate(t.Context(), pb.MountGetOrCreateRequest_builder{
		ObjectCreationType: pb.ObjectCreationType_OBJECT_CREATION_TYPE_EPHEMERAL,
		Files:              []*pb.MountFile{pb.MountFile_builder{Filename: "/mtt/program", Sha256Hex: sum, Mode: new(uint32(0o755))}.Build()},
	}.Build())
	if err != nil {
		t.Fatal(err)
	}
	image, err := l.client.Images.FromRegistry("debian:12", nil).Build(t.Context(), l.app)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.client.Raw.SandboxCreate(t.Context(), pb.SandboxCreateRequest_builder{AppId: l.app.AppID, Definition: pb.Sandbox_builder{
		ImageId: image.ImageID, EntrypointArgs: []string{"/mtt/program"}, MountIds: []string{mount.GetMountId()}, TimeoutSecs: 60,
	}.Build()}.Build())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.client.Sandboxes.FromID(t.Context(), r.GetSandboxId())
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, s.Stdout); got != "I run\n" {
		t.Errorf("the program printed %q", got)
	}
}

func TestASyncOfAFullVolumeFails(t *testing.T) {
	l := newLab(t, "--set", "volume-limit=10")
	s := l.start(`echo 12 >/outputs/a; sync /outputs && echo fits; echo 0123456789 >/outputs/b; sync /outputs || echo full`)
	if got := read(t, s.Stdout); got != "fits\nfull\n" {
		t.Errorf("the Sandbox says %q; stderr: %s", got, read(t, s.Stderr))
	}
	l.mustHave(map[string]string{"a": "12\n"})
}

func TestASandboxEndsWithTheFake(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(*faketest.Fake, testing.TB)
	}{{"killed", (*faketest.Fake).Kill}, {"stopped", (*faketest.Fake).Stop}} {
		t.Run(end.name, func(t *testing.T) {
			l := newLab(t)
			s := l.start("echo x >/outputs/x; sync /outputs; setsid sleep 1000 & echo ready $!; wait")
			pid := l.says(s, "ready")
			end.end(l.fake, t)
			mustBeGone(t, pid)
			l.fake.Run(t)
			l = openLab(t, l.fake)
			l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_TERMINATED)
			l.mustHave(map[string]string{"x": "x\n"})
			if got := l.fake.MustModal(t, "app", "logs", l.app.AppID); got != "ready "+pid+"\n" {
				t.Errorf("after another start, the log is %q", got)
			}
		})
	}
}

// What statfs says of a mount is no promise: writes succeed, or fail, whatever it is.
func TestStatfsOfAMountHasPlaceholders(t *testing.T) {
	for _, mounts := range []string{"namespaces", "rewriting"} {
		t.Run(mounts, func(t *testing.T) {
			l := newLab(t, "--mounts", mounts, "--set", "mount-free=8192")
			s, err := l.create(`here=/outputs; free() { stat -f -c %a "$1"; }
				mkdir $here/d; echo x >$here/d/x; ln -s $here link
				echo a $(free $here) $(free $here/d/x) $(cd $here/d; free .) $(free link) $(df --output=avail -B4096 $here | tail -1)
				[ $(free /) -gt 2 ] && [ $(free ..) -gt 2 ] && echo b other
				free $here/none || echo c none`, modal.SandboxCreateParams{})
			if err != nil {
				t.Fatal(err)
			}
			l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
			if got, want := read(t, s.Stdout), "a 2 2 2 2 2\nb other\nc none\n"; got != want {
				t.Errorf("the Sandbox says %q, want %q; stderr: %s", got, want, read(t, s.Stderr))
			}
		})
	}
}

func TestTheDiskOfAMachineIsFull(t *testing.T) {
	l := newLab(t, "--set", "disk-full=1")
	try := func() string {
		s := l.start(`echo x >/outputs/x; sync /outputs/x && echo file; sync /outputs && echo mount; mkdir d; sync d && echo other; exit 0`)
		l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
		return read(t, s.Stdout)
	}
	if got := try(); got != "other\n" {
		t.Errorf("on a full disk, these syncs succeed: %q", got)
	}
	l.mustHave(nil)
	if got := try(); got != "file\nmount\nother\n" {
		t.Errorf("on the next machine, these syncs succeed: %q", got)
	}
	l.mustHave(map[string]string{"x": "x\n"})
}
