package modalfake_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	modal "github.com/modal-labs/libmodal/modal-go"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

func TestASandboxEndsWithoutEverHavingHadAMachine(t *testing.T) {
	l := newLab(t)
	for _, reported := range []struct {
		name string
		want pb.GenericResult_GenericStatus
	}{
		{"TERMINATED", pb.GenericResult_GENERIC_STATUS_TERMINATED},
		{"INTERNAL_FAILURE", pb.GenericResult_GENERIC_STATUS_INTERNAL_FAILURE},
		{"TIMEOUT", pb.GenericResult_GENERIC_STATUS_TIMEOUT},
	} {
		l.fake.Tell(t, "set", "unplaced=1", "unplaced-status="+reported.name)
		s, err := l.create("echo started", modal.SandboxCreateParams{Name: "one"})
		if err != nil {
			t.Fatal(err)
		}
		l.mustEnd(s, reported.want)
		r, err := l.client.Raw.SandboxGetTaskId(t.Context(), pb.SandboxGetTaskIdRequest_builder{SandboxId: s.SandboxID, WaitUntilReady: true}.Build())
		if err != nil || r.GetTaskId() != "" || r.GetTaskResult().GetStatus() != reported.want {
			t.Errorf("%s: the task is %v, %v; want none, and a result", reported.name, r, err)
		}
		if said := read(t, s.Stdout); said != "" {
			t.Errorf("%s: the Sandbox says %q", reported.name, said)
		}
	}
	s, err := l.create("true", modal.SandboxCreateParams{Name: "one"}) // the name is free, and the next has a machine
	if err != nil {
		t.Fatal(err)
	}
	l.mustEnd(s, pb.GenericResult_GENERIC_STATUS_SUCCESS)
	l.fake.Tell(t, "set", "unplaced-rate=1")
	l.mustEnd(l.start("true"), pb.GenericResult_GENERIC_STATUS_TIMEOUT)
}

func TestModalsPythonClientSeesThatASandboxNeverHadAMachine(t *testing.T) {
	t.Parallel()
	f := faketest.Start(t, "--set", "unplaced=1")
	got := f.Python(t, `
import modal
app = modal.App.lookup("app", create_if_missing=True)
try:
    modal.Sandbox.create("true", app=app, image=modal.Image.debian_slim())
    print("created")
except modal.exception.ConflictError as e:
    print(e)
`)
	if got != "Sandbox already finished\n" {
		t.Errorf("the client says %q", got)
	}
}

func TestModalsPythonClientSeesThatABuildIsShutDown(t *testing.T) {
	t.Parallel()
	f := faketest.Start(t, "--set", "end-builds=1")
	got := f.Python(t, `
import modal
app = modal.App.lookup("app", create_if_missing=True)
for _ in range(2):
    try:
        modal.Image.debian_slim().run_commands("echo 1").build(app)
        print("built")
    except modal.exception.Error as e:
        print(e)
`)
	if !strings.Contains(got, "terminated due to external shut-down. Please try again.\n") || !strings.HasSuffix(got, "\nbuilt\n") {
		t.Errorf("the client says %q", got)
	}
}

// Whoever only waits for such a build again never has an image.
func TestABuildThatWasShutDownStaysSo(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	ask := pb.ImageGetOrCreateRequest_builder{Image: pb.Image_builder{DockerfileCommands: []string{"FROM scratch"}}.Build()}.Build()
	get := func() string {
		answer, err := c.Raw.ImageGetOrCreate(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetImageId()
	}
	join := func(id string) pb.GenericResult_GenericStatus {
		stream, err := c.Raw.ImageJoinStreaming(t.Context(), pb.ImageJoinStreamingRequest_builder{ImageId: id, LastEntryId: "1-0"}.Build())
		if err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetResult().GetStatus()
	}
	seen := map[string]bool{}
	for name, number := range map[string]pb.GenericResult_GenericStatus{"TERMINATED": 3, "TIMEOUT": 4, "INTERNAL_FAILURE": 6, "MEMORY_MANAGER_EVICTION": 8} {
		f.Tell(t, "set", "end-builds=1", "build-status="+name)
		id := get()
		for range 2 {
			if got := join(id); got != number || seen[id] {
				t.Errorf("build %s ended as %d, want a new one that ends as %s", id, got, name)
			}
		}
		seen[id] = true
	}
	if id := get(); seen[id] || join(id) != pb.GenericResult_GENERIC_STATUS_SUCCESS {
		t.Errorf("the last build, %s, did not end with an image", id)
	}
}

func TestASandboxReportsStatusesThatModalGoLacks(t *testing.T) {
	l := newLab(t)
	for name, number := range map[string]pb.GenericResult_GenericStatus{"MEMORY_MANAGER_EVICTION": 8, "MEMORY_THRASHING_EVICTION": 9, "KERNEL_OOM_KILL": 10, "42": 42} {
		s := l.start("echo ready; read go")
		l.says(s, "ready")
		l.fake.Tell(t, "preempt", "--status", name, s.SandboxID)
		l.mustEnd(s, number)
	}
	got := l.fake.Python(t, `
from modal_proto import api_pb2
print([api_pb2.GenericResult.GenericStatus.Name(n) for n in (8, 9, 10)])
`)
	if want := "['GENERIC_STATUS_MEMORY_MANAGER_EVICTION', 'GENERIC_STATUS_MEMORY_THRASHING_EVICTION', 'GENERIC_STATUS_KERNEL_OOM_KILL']\n"; got != want {
		t.Errorf("Modal's Python client calls them %q", got)
	}
}

// A block comes without the zero bytes at its end where the client says that it puts them back, and whole elsewhere.
func TestAClientThatPadsBlocksGetsThemTrimmed(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	v := makeVolume(t, c, "vol", v2)
	content := "data\x00\x00\x00\x00"
	if _, err := v.put("f", []byte(content), true); err != nil {
		t.Fatal(err)
	}
	ask := func(pads bool, start, length uint64) string {
		r := pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: "f", Start: start, Len: length}.Build()
		if pads {
			r.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 1))
		}
		answer, err := c.Raw.VolumeGetFile2(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.Get(answer.GetGetUrls()[0])
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		got := strings.TrimPrefix(fetch(t, answer.GetGetUrls()[0]), "200 OK: ")
		if want := fmt.Sprintf("sha-256=:%s:", base64.StdEncoding.EncodeToString(sha([]byte(got)))); response.Header.Get("Repr-Digest") != want {
			t.Errorf("the digest is %q, want that of the body, %q", response.Header.Get("Repr-Digest"), want)
		}
		return got
	}
	for _, one := range []struct {
		pads          bool
		start, length uint64
		want          string
	}{
		{true, 0, 0, "data"}, {false, 0, 0, content}, {true, 2, 4, "ta"}, {false, 2, 4, "ta\x00\x00"}, {true, 5, 0, ""}, {false, 5, 0, "\x00\x00\x00"}, {false, 0, 4, "data"},
	} {
		if got := ask(one.pads, one.start, one.length); got != one.want {
			t.Errorf("pads %v, from %d on, %d bytes: %q, want %q", one.pads, one.start, one.length, got, one.want)
		}
	}
	if got := f.Python(t, `
import modal
print(b"".join(modal.Volume.from_name("vol").read_file("f")))
`); got != `b'data\x00\x00\x00\x00'`+"\n" {
		t.Errorf("Modal's Python client reads %q", got)
	}
}

// The fake takes the names that Modal's Python client does.
func TestNamesAreThoseThatModalsClientAccepts(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	names := []string{"a", "A.b_c-9", strings.Repeat("x", 64), strings.Repeat("x", 65), "bad name", "a/b", "é", "ap-" + strings.Repeat("a", 22), "ap-short", ".", "-"}
	asked, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	var valid []bool
	if err := json.Unmarshal([]byte(f.Python(t, fmt.Sprintf(`
import json
from modal._utils.name_utils import is_valid_object_name
print(json.dumps([is_valid_object_name(name) for name in json.loads(r'''%s''')]))
`, asked))), &valid); err != nil {
		t.Fatal(err)
	}
	makeIt := pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING
	for i, name := range names {
		want := codes.OK
		if !valid[i] {
			want = codes.InvalidArgument
		}
		_, app := c.Raw.AppGetOrCreate(t.Context(), pb.AppGetOrCreateRequest_builder{AppName: name, ObjectCreationType: makeIt}.Build())
		_, volume := c.Raw.VolumeGetOrCreate(t.Context(), pb.VolumeGetOrCreateRequest_builder{DeploymentName: name, ObjectCreationType: makeIt}.Build())
		_, secret := c.Raw.SecretGetOrCreate(t.Context(), pb.SecretGetOrCreateRequest_builder{DeploymentName: name, ObjectCreationType: makeIt}.Build())
		for what, err := range map[string]error{"app": app, "volume": volume, "Secret": secret} {
			if status.Code(err) != want {
				t.Errorf("%s %q: %v, want %s", what, name, err, want)
			}
		}
	}
	if _, err := c.Raw.VolumeGetOrCreate(t.Context(), pb.VolumeGetOrCreateRequest_builder{DeploymentName: "bad name"}.Build()); status.Code(err) != codes.NotFound {
		t.Errorf("a volume that nobody could make is looked up: %v, want NotFound", err)
	}
}
