package modalfake_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/modalfake"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// policyOf returns when an error says that its call may come again; nil if it says nothing.
func policyOf(err error) *pb.RPCRetryPolicy {
	for _, detail := range status.Convert(err).Details() {
		if policy, ok := detail.(*pb.RPCRetryPolicy); ok {
			return policy
		}
	}
	return nil
}

// list makes a call that changes nothing.
func list(t *testing.T, c *faketest.Client) error {
	_, err := c.Raw.VolumeList(t.Context(), &pb.VolumeListRequest{})
	return err
}

// It does so whatever the code of the refusal is.
func TestModalsCommandLineComesAgainWhereAPolicySaysSo(t *testing.T) {
	t.Parallel()
	f := faketest.Start(t, "--set", "throttle-next=4", "--set", "throttle-policy=1", "--set", "throttle-after=100ms", "--set", "throttle-code=FAILED_PRECONDITION")
	r := f.Modal(t, "volume", "create", "vol", "--version", "2")
	if r.Code != 0 || !strings.Contains(r.Stderr+r.Stdout, "rate limit exceeded") {
		t.Errorf("modal volume create, throttled four times: %s", r)
	}
	throttled := 0
	for _, calls := range f.Calls(t) {
		throttled += calls.Throttled
	}
	if throttled != 4 {
		t.Errorf("%d calls were throttled, want 4: %v", throttled, f.Calls(t))
	}
}

func TestModalsCommandLineGivesUpWhereAThrottledCallIsToldNothing(t *testing.T) {
	f := faketest.Start(t, "--set", "throttle-calls=VolumeListFiles2", "--set", "throttle-next=1")
	makeVolume(t, f.Client(t), "vol", v2)
	if r := f.Modal(t, "volume", "ls", "vol"); r.Code == 0 || !strings.Contains(r.Stderr+r.Stdout, "VolumeListFiles rate limit exceeded") {
		t.Errorf("modal volume ls: %s", r)
	}
}

func TestAThrottledCallIsNotCarriedOut(t *testing.T) {
	f := faketest.Start(t)
	v := makeVolume(t, f.Client(t), "vol", v2)
	f.Tell(t, "set", "throttle-calls=VolumePutFiles2", "throttle-next=1", "throttle-policy=1", "throttle-after=1500ms", "throttle-code=ABORTED", "echo-credentials=true")
	_, err := v.put("f", nil, true)
	if status.Code(err) != codes.Aborted || policyOf(err).GetRetryAfterSecs() != 1.5 {
		t.Errorf("the call: %v, policy %v; want ABORTED, to come again in 1.5 s", err, policyOf(err))
	}
	if _, err := v.get("f", 0, 0); status.Code(err) != codes.NotFound {
		t.Errorf("the file is there: %v", err)
	}
	f.Tell(t, "set", "throttle-next=1", "throttle-policy=0")
	if _, err := v.put("f", nil, true); status.Code(err) != codes.ResourceExhausted || policyOf(err) != nil {
		t.Errorf("without a policy: %v, policy %v; want RESOURCE_EXHAUSTED and none", err, policyOf(err))
	}
	if _, err := v.put("f", nil, true); err != nil {
		t.Error(err)
	}
}

func TestAStreamIsThrottledInItsMiddle(t *testing.T) {
	l := newLab(t)
	s := l.start("echo one; read go; echo two; read go")
	l.says(s, "one")
	l.fake.Tell(t, "set", "throttle-streams=1", "throttle-policy=1")
	stream, err := l.client.Raw.SandboxGetLogs(t.Context(), pb.SandboxGetLogsRequest_builder{SandboxId: s.SandboxID, Timeout: 55}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if first, err := stream.Recv(); err != nil || first.GetItems()[0].GetData() != "one\n" {
		t.Fatalf("the first message: %v, %v", first, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted || policyOf(err) == nil {
		t.Errorf("behind it: %v, policy %v", err, policyOf(err))
	}
}

func TestShareBurstAndLimitOfThrottledCalls(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	refused := func(calls int) (n int) {
		for range calls {
			if err := list(t, c); status.Code(err) == codes.ResourceExhausted {
				n++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	f.Tell(t, "set", "throttle-rate=0.5")
	if n := refused(60); n == 0 || n == 60 {
		t.Errorf("of 60 calls %d are throttled, want half of them", n)
	}
	f.Tell(t, "set", "throttle-rate=0", "throttle-for=1h")
	if n := refused(5); n != 5 {
		t.Errorf("in a burst %d calls of 5 are throttled", n)
	}
	f.Tell(t, "set", "throttle-for=1ms")
	time.Sleep(5 * time.Millisecond)
	if n := refused(5); n != 0 {
		t.Errorf("behind a burst %d calls of 5 are throttled", n)
	}
	for _, limits := range []string{"VolumeList:0/3", "*:0/3", "VolumeList:0/3,AppList:0/1"} {
		f.Tell(t, "set", "throttle-limits="+limits)
		if n := refused(5); n != 2 {
			t.Errorf("with throttle-limits=%s %d calls of 5 are throttled, want 2", limits, n)
		}
	}
	f.Tell(t, "set", "throttle-limits=VolumeList:1000/1")
	refused(1)
	time.Sleep(20 * time.Millisecond)
	if n := refused(1); n != 0 {
		t.Error("a bucket does not fill again")
	}
	f.Tell(t, "set", "throttle-limits=AppList:0/1")
	if n := refused(3); n != 0 {
		t.Error("the limit of another call holds")
	}
}

func TestRequestsForBlocksAreThrottled(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	v := makeVolume(t, c, "vol", v2)
	f.Tell(t, "set", "throttle-calls=BlockPut", "throttle-next=1")
	if _, err := v.put("f", []byte("x"), true); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("the throttled block: %v, want 429", err)
	}
	if _, err := v.put("f", []byte("x"), true); err != nil {
		t.Fatal(err)
	}
	r, err := c.Raw.VolumeGetFile2(t.Context(), pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: "f"}.Build())
	if err != nil {
		t.Fatal(err)
	}
	f.Tell(t, "set", "throttle-calls=BlockGet", "throttle-next=1", "throttle-policy=1", "throttle-after=1200ms")
	response, err := http.Get(r.GetGetUrls()[0])
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "2" {
		t.Errorf("the throttled block: %s, Retry-After %q; want 429 and 2", response.Status, response.Header.Get("Retry-After"))
	}
	if got := fetch(t, r.GetGetUrls()[0]); got != "200 OK: x" {
		t.Errorf("the block is %q", got)
	}
}

func TestModalsPythonClientMeetsTheBillingLimit(t *testing.T) {
	l := newLab(t, "--set", "billing-limit=SandboxCreate")
	got := l.fake.Python(t, `
import modal
app = modal.App.lookup("app", create_if_missing=True)
try:
    modal.Sandbox.create("true", app=app, image=modal.Image.debian_slim())
    print("created")
except modal.exception.ResourceExhaustedError as e:
    print(e)
`)
	if !strings.Contains(got, "workspace billing cycle spend limit reached") {
		t.Errorf("the client says %q", got)
	}
	l.fake.Tell(t, "set", "billing-limit=")
	l.mustEnd(l.start("true"), pb.GenericResult_GENERIC_STATUS_SUCCESS)
	if n := l.fake.Calls(t)["SandboxCreate"]; n != (modalfake.Count{All: 2, Billed: 1}) {
		t.Errorf("creations of Sandboxes came %+v", n)
	}
}

func TestCallsAreCounted(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	before := f.Calls(t)["VolumeList"].All
	f.Tell(t, "set", "throttle-calls=VolumeList", "throttle-next=1")
	for range 3 {
		_ = list(t, c)
	}
	var said map[string]modalfake.Count
	if err := json.Unmarshal([]byte(f.Tell(t, "calls")), &said); err != nil {
		t.Fatal(err)
	}
	if want := (modalfake.Count{All: before + 3, Throttled: 1}); said["VolumeList"] != want {
		t.Errorf("VolumeList came %+v, want %+v", said["VolumeList"], want)
	}
}
