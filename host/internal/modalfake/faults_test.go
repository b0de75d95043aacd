package modalfake_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	modal "github.com/modal-labs/libmodal/modal-go"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// A client that goes on behind the last entry that it has seen, and takes no entry twice, misses nothing.
func TestLogsCanBeFollowedThroughBrokenStreams(t *testing.T) {
	l := newLab(t, "--seed", "7")
	s := l.start(`i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); sleep 0.002; done`)
	l.fake.Tell(t, "set", "drop-streams=0.2", "repeat-streams=0.2") // modal-go gives up where the stream of an image breaks
	said, last, broken, again := "", "0-0", 0, 0
	for deadline, ended := time.Now().Add(patience), false; !ended; {
		if time.Now().After(deadline) {
			t.Fatalf("the log did not end within %s; so far: %q", patience, said)
		}
		stream, err := l.client.Raw.SandboxGetLogs(t.Context(), pb.SandboxGetLogsRequest_builder{
			SandboxId: s.SandboxID, Timeout: 55, LastEntryId: last, FileDescriptor: pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT,
		}.Build())
		for err == nil {
			var batch *pb.TaskLogsBatch
			if batch, err = stream.Recv(); err != nil {
				break
			}
			if batch.GetEof() {
				ended = true
				break
			}
			if batch.GetEntryId() == last {
				again++
				continue
			}
			last = batch.GetEntryId()
			for _, item := range batch.GetItems() {
				said += item.GetData()
			}
		}
		if err != nil {
			if status.Code(err) != codes.Unavailable {
				t.Fatal(err)
			}
			broken++
		}
	}
	if lines := strings.Count(said, "\n"); lines != 100 || !strings.HasPrefix(said, "0\n1\n2\n") || !strings.HasSuffix(said, "98\n99\n") {
		t.Errorf("%d lines of 100 arrived: %q", lines, said)
	}
	if broken == 0 || again == 0 {
		t.Errorf("of the streams, %d broke, and %d entries came again: the test shows nothing", broken, again)
	}
}

func TestCallsFailBeforeAndAfterTheyAreCarriedOut(t *testing.T) {
	f := faketest.Start(t)
	v := makeVolume(t, f.Client(t), "vol", v2)
	f.Tell(t, "set", "error-rate=0.5", "error-code=ABORTED") // with UNAVAILABLE, modal-go tries again
	var before, after int
	for range 60 {
		_, err := v.put("f", nil, true)
		switch status.Code(err) {
		case codes.Aborted:
		case codes.OK, codes.AlreadyExists:
			continue
		default:
			t.Fatal(err)
		}
		_, there := v.get("f", 0, 0)
		for status.Code(there) == codes.Aborted {
			_, there = v.get("f", 0, 0)
		}
		if there != nil {
			before++
			continue
		}
		after++
		for err := errors.New("not yet"); err != nil && status.Code(err) != codes.NotFound; {
			_, err = v.c.VolumeRemoveFile2(t.Context(), pb.VolumeRemoveFile2Request_builder{VolumeId: v.id, Path: "f"}.Build())
		}
	}
	if before == 0 || after == 0 {
		t.Errorf("%d calls failed before they were carried out, and %d afterwards; want some of both", before, after)
	}
}

func TestModalsCommandLineGoesOnThroughErrors(t *testing.T) {
	f := faketest.Start(t, "--set", "error-rate=0.2", "--seed", "3")
	f.MustModal(t, "volume", "create", "vol", "--version", "2")
	f.MustModal(t, "volume", "ls", "vol")
}

func TestAuthTokensExpireAndAreRenewed(t *testing.T) {
	l := newLab(t, "--set", "auth-token-life=1s")
	time.Sleep(2100 * time.Millisecond) // a token is good to the second
	if _, err := l.client.Apps.FromName(t.Context(), "lab", nil); err != nil {
		t.Errorf("modal-go does not renew its token: %v", err)
	}
	l.fake.Tell(t, "set", "auth-token-life=20m")
	l.fake.Tell(t, "rotate", "auth-tokens")
	c := l.fake.Client(t)
	l.fake.Tell(t, "rotate", "auth-tokens")
	if _, err := c.Apps.FromName(t.Context(), "lab", nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with a token that was rotated: %v, want Unauthenticated", err)
	}
}

func TestRotatedCredentialsAreRefused(t *testing.T) {
	f := faketest.Start(t)
	f.Client(t) // whose environment has the old ones
	f.Tell(t, "rotate", "credentials")
	if _, err := modal.NewClient(); status.Code(errors.Unwrap(errors.Unwrap(err))) != codes.Unauthenticated && !strings.Contains(err.Error(), "Unauthenticated") {
		t.Errorf("with the old credentials: %v, want Unauthenticated", err)
	}
	f.MustModal(t, "volume", "list") // it reads the env file
}

func TestBlocksCanBeSlow(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	v := makeVolume(t, c, "vol", v2)
	if _, err := v.put("f", []byte("x"), true); err != nil {
		t.Fatal(err)
	}
	r, err := c.Raw.VolumeGetFile2(t.Context(), pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: "f"}.Build())
	if err != nil {
		t.Fatal(err)
	}
	f.Tell(t, "set", "block-delay=1h")
	impatient := http.Client{Timeout: 300 * time.Millisecond}
	if response, err := impatient.Get(r.GetGetUrls()[0]); err == nil {
		response.Body.Close()
		t.Error("a block that takes an hour is there at once")
	}
	f.Tell(t, "set", "block-delay=0s")
	if got := fetch(t, r.GetGetUrls()[0]); got != "200 OK: x" {
		t.Errorf("the block is %q", got)
	}
}

func TestSettingsThatAreNoneAreRefused(t *testing.T) {
	f := faketest.Start(t)
	for _, wrong := range []string{"commit=never", "no-such=1", "drop-streams=much", "preempt-status=GONE", "throttle-limits=SandboxCreate", "throttle-limits=SandboxCreate:5/0"} {
		if _, err := f.Try(t, "set", wrong); err == nil {
			t.Errorf("set %s is accepted", wrong)
		}
	}
	if got := f.Tell(t, "set"); !strings.Contains(got, "commit=sync") {
		t.Errorf("the settings are %q", got)
	}
}

func TestModalsCommandLineShowsAndStopsApps(t *testing.T) {
	l := newLab(t)
	s := l.start("echo out; echo err >&2; read go; echo late; sleep 1000")
	l.says(s, "out")
	l.says(s, "err")
	if got := l.fake.MustModal(t, "app", "list", "--json"); !strings.Contains(got, `"lab"`) || !strings.Contains(got, `"deployed"`) || !strings.Contains(got, `"tasks": "1"`) {
		t.Errorf("app list says %s", got)
	}
	for _, args := range [][]string{{"app", "logs", "lab"}, {"app", "logs", l.app.AppID, "--since", "1h"}} {
		if got := l.fake.MustModal(t, args...); !strings.Contains(got, "out\n") || !strings.Contains(got, "err\n") {
			t.Errorf("modal %q prints %q", args, got)
		}
	}
	if got := l.fake.MustModal(t, "app", "logs", "lab", "--source", "stderr"); got != "err\n" {
		t.Errorf("app logs --source stderr prints %q", got)
	}
	followed := make(chan string)
	go func() { followed <- l.fake.Modal(t, "app", "logs", "-f", "lab").Stdout }()
	if _, err := io.WriteString(s.Stdin, "go\n"); err != nil {
		t.Fatal(err)
	}
	l.says(s, "late")
	l.fake.MustModal(t, "app", "stop", "--yes", "lab")
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_TERMINATED)
	if got := <-followed; !strings.Contains(got, "out\n") || !strings.Contains(got, "late\n") {
		t.Errorf("app logs -f prints %q", got)
	}
	if r := l.fake.Modal(t, "app", "stop", "--yes", "lab"); r.Code == 0 || !strings.Contains(r.Stderr+r.Stdout, "already stopped") {
		t.Errorf("an app that was stopped is stopped again: %s", r)
	}
	if got := l.fake.MustModal(t, "app", "list", "--json"); !strings.Contains(got, `"stopped"`) || !strings.Contains(got, `"tasks": "0"`) {
		t.Errorf("app list says %s", got)
	}
	if _, err := l.create("true", modal.SandboxCreateParams{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a Sandbox in an app that was stopped: %v, want FailedPrecondition", err)
	}
}
