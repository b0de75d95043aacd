package api

import (
	"context"
	"errors"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// SandboxInfo is what a list says of a Sandbox.
type SandboxInfo struct {
	ID, Name string
	Tags     map[string]string
	Task     Task
}

// Task is the machine of a Sandbox.
type Task struct {
	ID                string // "" for none
	GPU               GPU
	Started, Finished time.Time // zero: not yet, or Modal does not say
}

// Sandboxes returns the Sandboxes of an app that have not ended, the newest first. An app that does not exist any more has
// none.
func (c *Client) Sandboxes(ctx context.Context, environment, app string) ([]SandboxInfo, error) {
	return c.sandboxes(ctx, pb.SandboxListRequest_builder{AppId: app, EnvironmentName: environment}.Build())
}

// TaggedSandboxes returns the Sandboxes of an app that have these tags, also those that have ended, the newest first.
func (c *Client) TaggedSandboxes(ctx context.Context, environment, app string, tags map[string]string) ([]SandboxInfo, error) {
	return c.sandboxes(ctx, pb.SandboxListRequest_builder{AppId: app, EnvironmentName: environment, IncludeFinished: true, Tags: tagsOf(tags)}.Build())
}

func (c *Client) sandboxes(ctx context.Context, request *pb.SandboxListRequest) (sandboxes []SandboxInfo, err error) {
	for {
		var page []*pb.SandboxInfo
		_, err := c.do(ctx, "SandboxList", func(ctx context.Context, raw pb.ModalClientClient) error {
			answer, err := raw.SandboxList(ctx, request)
			page = answer.GetSandboxes()
			return err
		})
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if err != nil || len(page) == 0 {
			return sandboxes, err
		}
		for _, info := range page {
			sandboxes = append(sandboxes, sandboxInfoOf(info))
		}
		request.SetBeforeTimestamp(page[len(page)-1].GetCreatedAt())
	}
}

func sandboxInfoOf(info *pb.SandboxInfo) SandboxInfo {
	task := info.GetTaskInfo()
	converted := SandboxInfo{
		ID: info.GetId(), Name: info.GetName(), Tags: map[string]string{},
		Task: Task{
			ID: task.GetId(), Started: timeOf(task.GetStartedAt()), Finished: timeOf(task.GetFinishedAt()),
			GPU: GPU{task.GetGpuConfig().GetGpuType(), int(task.GetGpuConfig().GetCount())},
		},
	}
	for _, tag := range info.GetTags() {
		converted.Tags[tag.GetTagName()] = tag.GetTagValue()
	}
	return converted
}

// timeOf is a time of Modal's; zero for none.
func timeOf(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(seconds*1e9)).UTC()
}
