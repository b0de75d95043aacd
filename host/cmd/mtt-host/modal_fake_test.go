package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/modalfake"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
)

// modalBench is a bench with a stand-in for Modal of its own, where the commands look for runs.
type modalBench struct {
	*bench
	fake *faketest.Fake
}

// newModalBench starts modal-fake with these settings, such as commit=end.
func newModalBench(t *testing.T, settings ...string) *modalBench {
	t.Helper()
	if err := buildFake(); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	var args []string
	for _, setting := range settings {
		args = append(args, "--set="+setting)
	}
	m := &modalBench{b, faketest.Start(t, args...)}
	m.connect(filepath.Dir(m.tmp))
	return m
}

// buildFake builds modal-fake beside mtt-host, unless one is named that was built elsewhere.
var buildFake = sync.OnceValue(func() error {
	if os.Getenv("MTT_MODAL_FAKE") != "" {
		return nil
	}
	path := filepath.Join(binaries, "modal-fake")
	if os.Getenv("MTT_BINARIES") == "" {
		if err := build("../modal-fake", path, "CGO_ENABLED=0"); err != nil {
			return err
		}
	}
	return os.Setenv("MTT_MODAL_FAKE", path)
})

// connect has the commands find the fake, with the credentials that hold now, and keep what they keep below home.
func (m *modalBench) connect(home string) {
	m.Helper()
	m.env = append(m.fake.Environ(m.T), "MTT_BACKEND=modal", "HOME="+home)
}

// until is eventually for what takes commands to find out.
func (m *modalBench) until(what string, holds func() bool) {
	m.Helper()
	m.eventually(what, func() bool {
		if holds() {
			return true
		}
		time.Sleep(200 * time.Millisecond)
		return false
	})
}

// order gives the running fake an order, at once: running its command takes as long as a commit.
func (m *modalBench) order(o modalfake.Order) error {
	_, err := modalfake.Tell(m.fake.State, o)
	return err
}

// preempt takes the machine away from a Sandbox, which may have ended by itself just now. It says whether it had not.
func (m *modalBench) preempt(status string, id string) bool {
	m.Helper()
	err := m.order(modalfake.Order{Set: []modalfake.Assignment{{Name: "preempt-status", Value: status}}, Preempt: []string{id}})
	if err != nil && !strings.Contains(err.Error(), "no Sandbox") {
		m.Fatalf("preempt %s: %v", id, err)
	}
	return err == nil
}

// raw calls the fake as a client would of which nothing is mtt's.
func (m *modalBench) raw() (context.Context, pb.ModalClientClient) {
	m.Helper()
	connection, err := grpc.NewClient(strings.TrimPrefix(m.fake.Variable(m.T, "MODAL_SERVER_URL"), "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { connection.Close() })
	ctx := metadata.AppendToOutgoingContext(m.Context(), "x-modal-token-id", m.fake.Variable(m.T, "MODAL_TOKEN_ID"), "x-modal-token-secret", m.fake.Variable(m.T, "MODAL_TOKEN_SECRET"))
	return ctx, pb.NewModalClientClient(connection)
}

// insist does what may fail where calls do: half of those that fail were carried out.
func (m *modalBench) insist(what string, call func() error) {
	m.Helper()
	var err error
	for range 30 {
		if err = call(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.Fatalf("%s: %v", what, err)
}

// put writes a small file to a volume, as any client can.
func (m *modalBench) put(volume, path string, content []byte) {
	m.Helper()
	ctx, client := m.raw()
	sum := sha256.Sum256(content)
	var proof []byte
	m.insist("put "+path, func() error {
		answer, err := client.VolumePutFiles2(ctx, pb.VolumePutFiles2Request_builder{VolumeId: volume, Files: []*pb.VolumePutFiles2Request_File{
			pb.VolumePutFiles2Request_File_builder{Path: path, Size: uint64(len(content)), Blocks: []*pb.VolumePutFiles2Request_Block{
				pb.VolumePutFiles2Request_Block_builder{ContentsSha256: sum[:], PutResponse: proof}.Build(),
			}}.Build(),
		}}.Build())
		if err != nil || len(answer.GetMissingBlocks()) == 0 {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, answer.GetMissingBlocks()[0].GetPutUrl(), bytes.NewReader(content))
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if proof, err = io.ReadAll(response.Body); err == nil {
			err = fmt.Errorf("the block is there (%s), and the file not yet", response.Status)
		}
		return err
	})
}

// volumeID is the id of a volume.
func (m *modalBench) volumeID(name string) string {
	m.Helper()
	ctx, client := m.raw()
	volume, err := client.VolumeGetOrCreate(ctx, pb.VolumeGetOrCreateRequest_builder{DeploymentName: name, EnvironmentName: m.fake.Variable(m.T, "MODAL_ENVIRONMENT")}.Build())
	if err != nil {
		m.Fatal(err)
	}
	return volume.GetVolumeId()
}

// remove removes files or directories of the volume outputs.
func (m *modalBench) remove(paths ...string) {
	m.Helper()
	id := m.volumeID("outputs")
	ctx, client := m.raw()
	for _, path := range paths {
		if _, err := client.VolumeRemoveFile2(ctx, pb.VolumeRemoveFile2Request_builder{VolumeId: id, Path: path, Recursive: true}.Build()); err != nil {
			m.Fatalf("remove %s: %v", path, err)
		}
	}
}

// sandbox is what the fake keeps of one.
type sandbox struct {
	ID         string    `json:"id"`
	AppID      string    `json:"app_id"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	Started    time.Time `json:"started"` // zero: it never had a machine
	Finished   time.Time `json:"finished"`
	Status     string    `json:"status"`
	ExitCode   int       `json:"exit_code"`
	Definition []byte    `json:"definition"`

	Tags map[string]string `json:"tags"`
}

func (s sandbox) alive() bool { return s.Finished.IsZero() }

func (s sandbox) definition(m *modalBench) *pb.Sandbox {
	m.Helper()
	definition := new(pb.Sandbox)
	if err := proto.Unmarshal(s.Definition, definition); err != nil {
		m.Fatal(err)
	}
	return definition
}

// image returns the commands of a Sandbox's image, from the base on.
func (s sandbox) image(m *modalBench) (commands []string) {
	m.Helper()
	for id := s.definition(m).GetImageId(); id != ""; {
		raw, err := os.ReadFile(filepath.Join(m.fake.State, "images", id+".json"))
		if err != nil {
			m.Fatal(err)
		}
		layer := decode[struct {
			Base     string
			Commands []string
		}](m.bench, string(raw))
		commands = slices.Concat(layer.Commands, commands)
		id = layer.Base
	}
	return commands
}

// argument returns what follows on a flag in the command that a Sandbox runs.
func (s sandbox) argument(m *modalBench, flag string) string {
	m.Helper()
	args := s.definition(m).GetEntrypointArgs()
	i := slices.Index(args, flag)
	if i < 0 || i+1 == len(args) {
		m.Fatalf("Sandbox %s has no %s: %q", s.Name, flag, args)
	}
	return args[i+1]
}

// sandboxes lists those of a run, the oldest first: its workers, or its supervisors.
func (m *modalBench) sandboxes(run string) (workers, supervisors []sandbox) {
	m.Helper()
	for _, s := range m.sandboxesNamed("mtt-" + run) {
		switch {
		case s.Name == "mtt-"+run:
			workers = append(workers, s)
		case strings.HasPrefix(s.Name, "mtt-"+run+".s"):
			supervisors = append(supervisors, s)
		}
	}
	return workers, supervisors
}

// sandboxesNamed lists those whose names begin so, the oldest first.
func (m *modalBench) sandboxesNamed(prefix string) (found []sandbox) {
	m.Helper()
	paths, _ := filepath.Glob(filepath.Join(m.fake.State, "sandboxes", "*.json"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			m.Fatal(err)
		}
		var s sandbox
		if err := json.Unmarshal(raw, &s); err != nil {
			m.Fatalf("%s: %v", path, err)
		}
		if strings.HasPrefix(s.Name, prefix) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b sandbox) int { return a.Created.Compare(b.Created) })
	return found
}

// printed is what each Sandbox has printed to its stdout.
func (m *modalBench) printed() map[string]string {
	m.Helper()
	printed := map[string]string{}
	paths, _ := filepath.Glob(filepath.Join(m.fake.State, "logs", "*.jsonl"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			m.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			var entry struct {
				Sandbox string            `json:"sandbox"`
				Source  pb.FileDescriptor `json:"source"`
				Data    string            `json:"data"`
			}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Source == pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT {
				printed[entry.Sandbox] += entry.Data
			}
		}
	}
	return printed
}

// eventsOf are the events among what a worker's Sandbox has printed: what a person could have seen.
func eventsOf(printed string) (events []eventlog.Event) {
	for line := range strings.Lines(printed) {
		var event eventlog.Event
		if json.Unmarshal([]byte(line), &event) == nil && event.Schema == eventlog.Schema {
			events = append(events, event)
		}
	}
	return events
}

// claimInfo is claim.json of an attempt, as far as the tests look at it.
type claimInfo struct {
	ResumedFrom string `json:"resumed_from"`
	ResumedStep uint64 `json:"resumed_step"`
	Hostname    string `json:"hostname"` // the name of the supervisor's Sandbox
}

// fetch brings the small files of a run to where those of runs on this machine are, and returns the claims of its
// attempts.
func (m *modalBench) fetch(run string) map[int]claimInfo {
	m.Helper()
	m.expect(0, nil, "volume", "sync", "outputs", "runs/"+run, m.path("runs", run))
	claims := map[int]claimInfo{}
	paths, _ := filepath.Glob(m.path("runs", run, "attempts", "*", "claim.json"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			m.Fatal(err)
		}
		n, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			m.Fatal(err)
		}
		claims[n] = decode[claimInfo](m.bench, string(raw))
	}
	return claims
}

// report is what one needs to see why a run went wrong.
func (m *modalBench) report(run string) string {
	m.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "show: %v\nlogs: %v\n", m.run("show", run, "-o", "json"), m.run("logs", run))
	printed := m.printed()
	workers, supervisors := m.sandboxes(run)
	for _, s := range slices.Concat(workers, supervisors) {
		fmt.Fprintf(&text, "%s %s: created %s, started %s, finished %s, %s, exit code %d\n", s.Name, s.ID,
			s.Created.Format(clock), s.Started.Format(clock), s.Finished.Format(clock), s.Status, s.ExitCode)
	}
	for _, s := range supervisors {
		fmt.Fprintf(&text, "%s printed:\n%s", s.Name, printed[s.ID])
	}
	return text.String()
}

const clock = "15:04:05.000"
