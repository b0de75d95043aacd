package api

import (
	"context"
	"errors"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Sandbox is what a Sandbox is made of.
type Sandbox struct {
	Name      string
	Image     string // id
	Command   []string
	GPU       GPU
	CPU       float64
	MemoryMiB int
	Capped    bool // use no more than that, which Modal would bill
	Limit     time.Duration
	Secrets   []string // ids
	Mounts    []Mount
}

// GPU is a type of GPU and how many of it; the zero value is none.
type GPU struct {
	Type  string
	Count int
}

// Mount is a volume in a Sandbox.
type Mount struct {
	VolumeID, Path string
	ReadOnly       bool
}

// CreateSandbox makes a Sandbox. Its name is a lock and makes the call repeatable: while one of that name is active, another
// is ErrExists, also if it is the one that a lost answer was about: answers may have been lost with lost.
func (c *Client) CreateSandbox(ctx context.Context, app string, s Sandbox) (id string, lost bool, err error) {
	lost, err = c.do(ctx, sandboxCreate, creating(app, s, &id))
	return id, lost, err
}

// TryCreateSandbox is CreateSandbox for who has better to do than to wait: where Modal makes none now, that is a *Limit.
func (c *Client) TryCreateSandbox(ctx context.Context, app string, s Sandbox) (id string, lost bool, err error) {
	lost, err = c.try(ctx, sandboxCreate, creating(app, s, &id))
	return id, lost, err
}

const sandboxCreate = "SandboxCreate"

// creating is the call that makes a Sandbox.
func creating(app string, s Sandbox, id *string) func(context.Context, pb.ModalClientClient) error {
	var mounts []*pb.VolumeMount
	for _, m := range s.Mounts {
		mounts = append(mounts, pb.VolumeMount_builder{VolumeId: m.VolumeID, MountPath: m.Path, ReadOnly: m.ReadOnly, AllowBackgroundCommits: true}.Build())
	}
	resources := pb.Resources_builder{
		GpuConfig: pb.GPUConfig_builder{GpuType: s.GPU.Type, Count: uint32(s.GPU.Count)}.Build(),
		MilliCpu:  uint32(1000 * s.CPU), MemoryMb: uint32(s.MemoryMiB),
	}
	if s.Capped {
		resources.MilliCpuMax, resources.MemoryMbMax = resources.MilliCpu, resources.MemoryMb
	}
	request := pb.SandboxCreateRequest_builder{AppId: app, Definition: pb.Sandbox_builder{
		EntrypointArgs: s.Command,
		ImageId:        s.Image,
		SecretIds:      s.Secrets,
		TimeoutSecs:    uint32(s.Limit / time.Second),
		NetworkAccess:  pb.NetworkAccess_builder{NetworkAccessType: pb.NetworkAccess_OPEN}.Build(),
		Resources:      resources.Build(),
		VolumeMounts:   mounts,
		OpenPorts:      &pb.PortSpecs{},
		Name:           &s.Name,
	}.Build()}.Build()
	return func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxCreate(ctx, request)
		*id = answer.GetSandboxId()
		return err
	}
}

// SandboxNamed returns the Sandbox that has a name in an app now; "" for none.
func (c *Client) SandboxNamed(ctx context.Context, environment, app, name string) (id string, err error) {
	_, err = c.do(ctx, "SandboxGetFromName", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxGetFromName(ctx, pb.SandboxGetFromNameRequest_builder{SandboxName: name, AppName: app, EnvironmentName: environment}.Build())
		id = answer.GetSandboxId()
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return id, err
}

// WaitSandbox waits up to a time for the end of a Sandbox; nil: it has not ended.
func (c *Client) WaitSandbox(ctx context.Context, id string, atMost time.Duration) (result *Result, err error) {
	_, err = c.do(ctx, "SandboxWait", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxWait(ctx, pb.SandboxWaitRequest_builder{SandboxId: id, Timeout: float32(atMost.Seconds())}.Build())
		result = resultOf(answer.GetResult())
		return err
	})
	return result, err
}

// Placement says whether a Sandbox has, or has had, a machine.
type Placement int

const (
	Queued   Placement = iota // it may get one yet
	Placed                    // it has one, or has had one
	Unplaced                  // it has ended without one
)

// SandboxPlacement returns the placement of a Sandbox.
func (c *Client) SandboxPlacement(ctx context.Context, id string) (placement Placement, err error) {
	_, err = c.do(ctx, "SandboxGetTaskId", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxGetTaskId(ctx, pb.SandboxGetTaskIdRequest_builder{SandboxId: id}.Build())
		switch {
		case answer.GetTaskId() != "":
			placement = Placed
		case resultOf(answer.GetTaskResult()) != nil:
			placement = Unplaced
		default:
			placement = Queued
		}
		return err
	})
	return placement, err
}

// TerminateSandbox ends a Sandbox at once. One that has ended is no error.
func (c *Client) TerminateSandbox(ctx context.Context, id string) error {
	_, err := c.do(ctx, "SandboxTerminate", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxTerminate(ctx, pb.SandboxTerminateRequest_builder{SandboxId: id}.Build())
		return err
	})
	return err
}

// WriteStdin writes piece n, from 1 on, to the stdin of a Sandbox. A piece that comes again is ignored there.
func (c *Client) WriteStdin(ctx context.Context, id string, n uint32, text string) error {
	_, err := c.do(ctx, "SandboxStdinWrite", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxStdinWrite(ctx, pb.SandboxStdinWriteRequest_builder{SandboxId: id, Index: n, Input: []byte(text)}.Build())
		return err
	})
	return err
}

// TagSandbox labels a Sandbox for those who look at Modal's dashboard or list Sandboxes.
func (c *Client) TagSandbox(ctx context.Context, environment, id string, tags map[string]string) error {
	_, err := c.do(ctx, "SandboxTagsSet", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxTagsSet(ctx, pb.SandboxTagsSetRequest_builder{EnvironmentName: environment, SandboxId: id, Tags: tagsOf(tags)}.Build())
		return err
	})
	return err
}

func tagsOf(tags map[string]string) (labels []*pb.SandboxTag) {
	for name, value := range tags {
		labels = append(labels, pb.SandboxTag_builder{TagName: name, TagValue: value}.Build())
	}
	return labels
}
