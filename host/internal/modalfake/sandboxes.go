package modalfake

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"

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

// result is nil while it has not ended.
func (r *sandboxRecord) result() *pb.GenericResult {
	if !r.finished() {
		return nil
	}
	return pb.GenericResult_builder{
		Status:    pb.GenericResult_GenericStatus(pb.GenericResult_GenericStatus_value["GENERIC_STATUS_"+string(r.Status)]),
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

// SandboxCreate takes the name of a Sandbox as a lock: while one of that name lives in the app, there is no other.
func (s service) SandboxCreate(_ context.Context, r *pb.SandboxCreateRequest) (*pb.SandboxCreateResponse, error) {
	record, err := s.createSandbox(r)
	if err != nil {
		return nil, err
	}
	if s.dice.LoseCreate() {
		return nil, status.Errorf(codes.Unavailable, "modal-fake: the answer about Sandbox %s was lost", record.ID)
	}
	return pb.SandboxCreateResponse_builder{SandboxId: record.ID}.Build(), nil
}

func (s *Server) createSandbox(r *pb.SandboxCreateRequest) (*sandboxRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.app(r.GetAppId())
	if err != nil {
		return nil, err
	}
	if !a.Stopped.IsZero() {
		return nil, status.Errorf(codes.FailedPrecondition, "App '%s' is stopped", a.ID)
	}
	definition := r.GetDefinition()
	if definition.GetName() != "" && s.named(a.ID, definition.GetName()) != nil {
		return nil, exists("Sandbox with name '%s' already exists", definition.GetName())
	}
	if err := s.checkDefinition(definition); err != nil {
		return nil, err
	}
	raw, err := proto.Marshal(definition)
	if err != nil {
		return nil, err
	}
	record := &sandboxRecord{
		ID: newID("sb"), TaskID: newID("ta"), AppID: a.ID, Name: definition.GetName(), Environment: a.Environment,
		Definition: raw, Created: time.Now(),
	}
	if err := s.sandboxes.Put(record.ID, record); err != nil {
		return nil, err
	}
	run := newRunning(s, record, definition)
	s.running[record.ID] = run
	s.tasks.Go(run.live)
	return record, nil
}

// maxTimeout is the longest life of a Sandbox that Modal's documentation allows.
const maxTimeout = 24 * time.Hour

// checkDefinition refuses what could not be started. The caller holds mu.
func (s *Server) checkDefinition(d *pb.Sandbox) error {
	if s.images.Get(d.GetImageId()) == nil {
		return notFound("Image '%s' not found", d.GetImageId())
	}
	for _, id := range d.GetSecretIds() {
		if s.secrets.Get(id) == nil {
			return notFound("Secret '%s' not found", id)
		}
	}
	for _, id := range d.GetMountIds() {
		if s.mounts.Get(id) == nil {
			return notFound("Mount '%s' not found", id)
		}
	}
	var mounts []sandbox.Mount
	for _, m := range d.GetVolumeMounts() {
		if _, err := s.volume(m.GetVolumeId()); err != nil {
			return err
		}
		mounts = append(mounts, sandbox.Mount{Path: m.GetMountPath()})
	}
	if err := sandbox.Check(mounts); err != nil {
		return invalid("%v", err)
	}
	if timeout := time.Duration(d.GetTimeoutSecs()) * time.Second; timeout > maxTimeout {
		return invalid("a Sandbox lives %s at most, not %s", maxTimeout, timeout)
	}
	if wantsGPU(d) && s.dice.GPUs() == faults.GPUsRefused {
		return status.Error(codes.ResourceExhausted, "modal-fake: there are no GPUs now")
	}
	return nil
}

func wantsGPU(d *pb.Sandbox) bool { return d.GetResources().GetGpuConfig().GetCount() > 0 }

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
	if !record.Started.IsZero() {
		response.SetTaskId(record.TaskID)
	}
	return response, nil
}

func (s service) SandboxTagsSet(_ context.Context, r *pb.SandboxTagsSetRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, err := s.sandbox(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	record.Tags = make(map[string]string)
	for _, tag := range r.GetTags() {
		record.Tags[tag.GetTagName()] = tag.GetTagValue()
	}
	return &emptypb.Empty{}, s.sandboxes.Put(record.ID, record)
}

func (s service) SandboxTagsGet(_ context.Context, r *pb.SandboxTagsGetRequest) (*pb.SandboxTagsGetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, err := s.sandbox(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	return pb.SandboxTagsGetResponse_builder{Tags: record.tags()}.Build(), nil
}

// listPage is how many Sandboxes one answer has: few, so that a client that does not ask on is found out.
const listPage = 10

// SandboxList returns the newest first; a client goes on with the time of the last one.
func (s service) SandboxList(_ context.Context, r *pb.SandboxListRequest) (*pb.SandboxListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env, before := environment(r.GetEnvironmentName()), r.GetBeforeTimestamp()
	records := slices.DeleteFunc(s.sandboxes.All(), func(o *sandboxRecord) bool {
		return o.Environment != env || !fits(o.AppID, r.GetAppId()) || (o.finished() && !r.GetIncludeFinished()) ||
			(before > 0 && seconds(o.Created) >= before) ||
			slices.ContainsFunc(r.GetTags(), func(tag *pb.SandboxTag) bool {
				value, ok := o.Tags[tag.GetTagName()]
				return !ok || value != tag.GetTagValue()
			})
	})
	slices.SortFunc(records, func(a, b *sandboxRecord) int { return b.Created.Compare(a.Created) })
	var infos []*pb.SandboxInfo
	for _, record := range records[:min(len(records), listPage)] {
		d, err := record.definition()
		if err != nil {
			return nil, err
		}
		infos = append(infos, pb.SandboxInfo_builder{
			Id: record.ID, CreatedAt: seconds(record.Created), AppId: record.AppID, Tags: record.tags(), Name: record.Name,
			ImageId: d.GetImageId(), TimeoutSecs: d.GetTimeoutSecs(),
			TaskInfo: pb.TaskInfo_builder{
				Id: record.TaskID, SandboxId: record.ID, EnqueuedAt: seconds(record.Created), StartedAt: seconds(record.Started),
				FinishedAt: seconds(record.Finished), Result: record.result(), GpuConfig: d.GetResources().GetGpuConfig(),
			}.Build(),
		}.Build())
	}
	return pb.SandboxListResponse_builder{Sandboxes: infos}.Build(), nil
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
