package modalfake

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// sandboxRecord is a Sandbox, also one that has ended.
type sandboxRecord struct {
	ID          string            `json:"id"`
	TaskID      string            `json:"task_id"`
	AppID       string            `json:"app_id"`
	Name        string            `json:"name,omitempty"`
	Environment string            `json:"environment"`
	Definition  []byte            `json:"definition"` // a modal.client.Sandbox
	Tags        map[string]string `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	Status      faults.Status     `json:"status,omitempty"` // once it has ended
	ExitCode    int               `json:"exit_code"`
	Exception   string            `json:"exception,omitempty"`
}

func (r *sandboxRecord) finished() bool { return !r.Finished.IsZero() }

// taskID is "" while it has had no machine, and stays so if it ends before.
func (r *sandboxRecord) taskID() string {
	if r.Started.IsZero() {
		return ""
	}
	return r.TaskID
}

// result is nil while it has not ended.
func (r *sandboxRecord) result() *pb.GenericResult {
	if !r.finished() {
		return nil
	}
	return pb.GenericResult_builder{
		Status:    pb.GenericResult_GenericStatus(r.Status.Number()),
		Exitcode:  int32(r.ExitCode),
		Exception: r.Exception,
	}.Build()
}

func (r *sandboxRecord) definition() (*pb.Sandbox, error) {
	definition := &pb.Sandbox{}
	return definition, proto.Unmarshal(r.Definition, definition)
}

func (r *sandboxRecord) tags() (tags []*pb.SandboxTag) {
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		tags = append(tags, pb.SandboxTag_builder{TagName: name, TagValue: r.Tags[name]}.Build())
	}
	return tags
}

// sandbox returns the record of that id. The caller holds mu.
func (s *Server) sandbox(id string) (*sandboxRecord, error) {
	if r := s.sandboxes.Get(id); r != nil {
		return r, nil
	}
	return nil, notFound("Sandbox '%s' not found", id)
}

// named returns the Sandbox that has the name now; nil if none has. The caller holds mu.
func (s *Server) named(appID, name string) *sandboxRecord {
	return s.sandboxes.Find(func(r *sandboxRecord) bool { return r.AppID == appID && r.Name == name && !r.finished() })
}

// runningOf returns the Sandboxes of an app that have not ended. The caller holds mu.
func (s *Server) runningOf(appID string) (runs []*running) {
	for _, id := range slices.Sorted(maps.Keys(s.running)) {
		if run := s.running[id]; run.record.AppID == appID {
			runs = append(runs, run)
		}
	}
	return runs
}

func (s service) SandboxGetFromName(_ context.Context, r *pb.SandboxGetFromNameRequest) (*pb.SandboxGetFromNameResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.deployed(r.GetAppName(), environment(r.GetEnvironmentName())); a != nil {
		if record := s.named(a.ID, r.GetSandboxName()); record != nil {
			return pb.SandboxGetFromNameResponse_builder{SandboxId: record.ID}.Build(), nil
		}
	}
	return nil, notFound("Sandbox with name '%s' not found in App '%s'", r.GetSandboxName(), r.GetAppName())
}

// SandboxWait answers without a result if the Sandbox has not ended within the timeout.
func (s service) SandboxWait(ctx context.Context, r *pb.SandboxWaitRequest) (*pb.SandboxWaitResponse, error) {
	s.mu.Lock()
	_, err := s.sandbox(r.GetSandboxId())
	run := s.running[r.GetSandboxId()]
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if run != nil {
		select {
		case <-run.ended:
		case <-time.After(time.Duration(float64(r.GetTimeout()) * float64(time.Second))):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-s.stopping.Done():
			return nil, status.Error(codes.Unavailable, "modal-fake: going away")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.SandboxWaitResponse_builder{Result: s.sandboxes.Get(r.GetSandboxId()).result()}.Build(), nil
}

// SandboxTerminate does not wait for the end.
func (s service) SandboxTerminate(_ context.Context, r *pb.SandboxTerminateRequest) (*pb.SandboxTerminateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, err := s.sandbox(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	if run := s.running[record.ID]; run != nil {
		run.end(terminated)
	}
	return pb.SandboxTerminateResponse_builder{ExistingResult: record.result()}.Build(), nil
}

// SandboxGetTaskId waits until the Sandbox has a machine, if it is asked to.
func (s service) SandboxGetTaskId(ctx context.Context, r *pb.SandboxGetTaskIdRequest) (*pb.SandboxGetTaskIdResponse, error) {
	s.mu.Lock()
	_, err := s.sandbox(r.GetSandboxId())
	run := s.running[r.GetSandboxId()]
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if run != nil && r.GetWaitUntilReady() {
		select {
		case <-run.started:
		case <-run.ended:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	record := s.sandboxes.Get(r.GetSandboxId())
	response := pb.SandboxGetTaskIdResponse_builder{TaskResult: record.result()}.Build()
	if id := record.taskID(); id != "" {
		response.SetTaskId(id)
	}
	return response, nil
}

// SandboxStdinWrite writes each piece once: a client numbers them, and may send one again.
func (s service) SandboxStdinWrite(_ context.Context, r *pb.SandboxStdinWriteRequest) (*pb.SandboxStdinWriteResponse, error) {
	s.mu.Lock()
	_, err := s.sandbox(r.GetSandboxId())
	run := s.running[r.GetSandboxId()]
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if run == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "Sandbox '%s' has ended", r.GetSandboxId())
	}
	if err := run.write(r.GetIndex(), r.GetInput(), r.GetEof()); err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "stdin of Sandbox '%s': %v", r.GetSandboxId(), err)
	}
	return &pb.SandboxStdinWriteResponse{}, nil
}
