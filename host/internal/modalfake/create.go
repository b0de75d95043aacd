package modalfake

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

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
	if definition.GetName() != "" {
		if err := checkName("Sandbox", definition.GetName()); err != nil {
			return nil, err
		}
	}
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
	if err := s.mustBeBuilt(d.GetImageId()); err != nil {
		return err
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
	if !wantsGPU(d) {
		return nil
	}
	kind := d.GetResources().GetGpuConfig().GetGpuType()
	if !slices.Contains(gpuTypes, kind) {
		return invalid("'%s' is no type of GPU", kind)
	}
	if s.dice.GPUs(kind) == faults.GPUsRefused {
		return status.Errorf(codes.ResourceExhausted, "modal-fake: there are no GPUs of type %s now", kind)
	}
	return nil
}

// gpuTypes are those that Modal's documentation lists, and A10G, which its clients know.
var gpuTypes = []string{
	"T4", "L4", "A10", "A10G", "L40S", "A100", "A100-40GB", "A100-80GB", "RTX-PRO-6000", "H100", "H100!", "H200", "B200", "B200+",
}

func wantsGPU(d *pb.Sandbox) bool { return d.GetResources().GetGpuConfig().GetCount() > 0 }
