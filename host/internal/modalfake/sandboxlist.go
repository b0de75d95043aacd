package modalfake

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

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
				Id: record.taskID(), SandboxId: record.ID, EnqueuedAt: seconds(record.Created), StartedAt: seconds(record.Started),
				FinishedAt: seconds(record.Finished), Result: record.result(), GpuConfig: d.GetResources().GetGpuConfig(),
			}.Build(),
		}.Build())
	}
	return pb.SandboxListResponse_builder{Sandboxes: infos}.Build(), nil
}
