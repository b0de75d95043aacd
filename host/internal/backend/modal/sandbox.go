package modal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// definition is what a Sandbox is made of.
type definition struct {
	name    string
	image   string // id
	command []string
	gpu     string // "" for none
	cpu     float64
	memory  int  // MiB
	capped  bool // use no more than that, which Modal would bill
	limit   time.Duration
	secrets []string // ids
	volumes []volumeMount
}

type volumeMount struct {
	id, path string
	readOnly bool
}

// create makes a Sandbox. Its name is a lock and makes the call repeatable: while one of that name lives, another is
// codes.AlreadyExists, also if it is the one that a lost answer was about: answers may have been lost if tried is not 0.
func (c *Client) create(ctx context.Context, app string, d definition) (id string, tried int, err error) {
	gpu, err := gpuConfig(d.gpu)
	if err != nil {
		return "", 0, err
	}
	var mounts []*pb.VolumeMount
	for _, v := range d.volumes {
		mounts = append(mounts, pb.VolumeMount_builder{VolumeId: v.id, MountPath: v.path, ReadOnly: v.readOnly, AllowBackgroundCommits: true}.Build())
	}
	resources := pb.Resources_builder{GpuConfig: gpu, MilliCpu: uint32(1000 * d.cpu), MemoryMb: uint32(d.memory)}
	if d.capped {
		resources.MilliCpuMax, resources.MemoryMbMax = resources.MilliCpu, resources.MemoryMb
	}
	request := pb.SandboxCreateRequest_builder{AppId: app, Definition: pb.Sandbox_builder{
		EntrypointArgs: d.command,
		ImageId:        d.image,
		SecretIds:      d.secrets,
		TimeoutSecs:    uint32(d.limit / time.Second),
		NetworkAccess:  pb.NetworkAccess_builder{NetworkAccessType: pb.NetworkAccess_OPEN}.Build(),
		Resources:      resources.Build(),
		VolumeMounts:   mounts,
		OpenPorts:      &pb.PortSpecs{},
		Name:           &d.name,
	}.Build()}.Build()
	tried, err = c.do(ctx, "SandboxCreate", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxCreate(ctx, request)
		id = answer.GetSandboxId()
		return err
	})
	return id, tried, err
}

// gpuConfig reads a GPU as Modal writes it: H100, or H100:2.
func gpuConfig(gpu string) (*pb.GPUConfig, error) {
	if gpu == "" {
		return &pb.GPUConfig{}, nil
	}
	kind, count, counted := strings.Cut(gpu, ":")
	n := uint64(1)
	if counted {
		var err error
		if n, err = strconv.ParseUint(count, 10, 8); err != nil || n == 0 {
			return nil, exit.Errorf(exit.Usage, "--gpu %s: want a type such as H100, or a type and a number such as H100:2", gpu)
		}
	}
	return pb.GPUConfig_builder{GpuType: strings.ToUpper(kind), Count: uint32(n)}.Build(), nil
}

// gpuText is what gpuConfig reads.
func gpuText(config *pb.GPUConfig) string {
	if config.GetCount() > 1 {
		return fmt.Sprintf("%s:%d", config.GetGpuType(), config.GetCount())
	}
	return config.GetGpuType()
}

// named returns the Sandbox that has a name in an app now; "" for none.
func (c *Client) named(ctx context.Context, environment, app, name string) (id string, err error) {
	_, err = c.do(ctx, "SandboxGetFromName", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxGetFromName(ctx, pb.SandboxGetFromNameRequest_builder{SandboxName: name, AppName: app, EnvironmentName: environment}.Build())
		id = answer.GetSandboxId()
		return err
	})
	if isCode(err, codes.NotFound) {
		return "", nil
	}
	return id, err
}

// wait waits up to a time for the end of a Sandbox; nil: it has not ended.
func (c *Client) wait(ctx context.Context, id string, atMost time.Duration) (result *pb.GenericResult, err error) {
	_, err = c.do(ctx, "SandboxWait", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxWait(ctx, pb.SandboxWaitRequest_builder{SandboxId: id, Timeout: float32(atMost.Seconds())}.Build())
		result = answer.GetResult()
		return err
	})
	if result.GetStatus() == pb.GenericResult_GENERIC_STATUS_UNSPECIFIED {
		result = nil
	}
	return result, err
}

// started says whether a Sandbox has, or has had, a machine.
func (c *Client) started(ctx context.Context, id string) (started bool, err error) {
	_, err = c.do(ctx, "SandboxGetTaskId", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SandboxGetTaskId(ctx, pb.SandboxGetTaskIdRequest_builder{SandboxId: id}.Build())
		started = answer.GetTaskId() != "" || answer.GetTaskResult() != nil
		return err
	})
	return started, err
}

// terminate ends a Sandbox at once. One that has ended is no error.
func (c *Client) terminate(ctx context.Context, id string) error {
	_, err := c.do(ctx, "SandboxTerminate", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxTerminate(ctx, pb.SandboxTerminateRequest_builder{SandboxId: id}.Build())
		return err
	})
	return err
}

// write writes piece n, from 1 on, to the stdin of a Sandbox. A piece that comes again is ignored there.
func (c *Client) write(ctx context.Context, id string, n uint32, line string) error {
	_, err := c.do(ctx, "SandboxStdinWrite", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxStdinWrite(ctx, pb.SandboxStdinWriteRequest_builder{SandboxId: id, Index: n, Input: []byte(line)}.Build())
		return err
	})
	return err
}

// Tags with the run, and the attempt, that a Sandbox is of.
const (
	runTag     = "mtt_run"
	attemptTag = "mtt_attempt"
)

// tag labels a Sandbox for those who look at Modal's dashboard or list Sandboxes.
func (c *Client) tag(ctx context.Context, environment, id string, tags map[string]string) error {
	var labels []*pb.SandboxTag
	for name, value := range tags {
		labels = append(labels, pb.SandboxTag_builder{TagName: name, TagValue: value}.Build())
	}
	_, err := c.do(ctx, "SandboxTagsSet", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxTagsSet(ctx, pb.SandboxTagsSetRequest_builder{EnvironmentName: environment, SandboxId: id, Tags: labels}.Build())
		return err
	})
	return err
}

// alive returns the Sandboxes of an app that have not ended, the newest first. An app that is not there any more has none.
func (c *Client) alive(ctx context.Context, environment, app string) ([]*pb.SandboxInfo, error) {
	return c.sandboxes(ctx, pb.SandboxListRequest_builder{AppId: app, EnvironmentName: environment}.Build())
}

// list returns the Sandboxes that were tagged as a run's, also those that have ended, the newest first.
func (c *Client) list(ctx context.Context, environment, app, run string) ([]*pb.SandboxInfo, error) {
	return c.sandboxes(ctx, pb.SandboxListRequest_builder{AppId: app, EnvironmentName: environment, IncludeFinished: true, Tags: []*pb.SandboxTag{
		pb.SandboxTag_builder{TagName: runTag, TagValue: run}.Build(),
	}}.Build())
}

func (c *Client) sandboxes(ctx context.Context, request *pb.SandboxListRequest) (sandboxes []*pb.SandboxInfo, err error) {
	for {
		var page []*pb.SandboxInfo
		_, err := c.do(ctx, "SandboxList", func(ctx context.Context, raw pb.ModalClientClient) error {
			answer, err := raw.SandboxList(ctx, request)
			page = answer.GetSandboxes()
			return err
		})
		if isCode(err, codes.NotFound) {
			return nil, nil
		}
		if err != nil || len(page) == 0 {
			return sandboxes, err
		}
		sandboxes = append(sandboxes, page...)
		request.SetBeforeTimestamp(page[len(page)-1].GetCreatedAt())
	}
}

// failureOf is what a call has failed with, for the caller to decide on; nil for another error.
func failureOf(err error) *failure {
	failed, _ := errors.AsType[*failure](err)
	return failed
}

// isCode says whether a call has failed so.
func isCode(err error, of ...codes.Code) bool {
	failed := failureOf(err)
	return failed != nil && slices.Contains(of, failed.code)
}

// appOf is the name of the app of all Sandboxes whose runs are on a volume: names of runs are a volume's own.
func appOf(volume string) string { return "mtt-" + volume }

// workerName and supervisorName are names of Sandboxes.
func workerName(run string) string { return "mtt-" + run }

func supervisorName(run string, n int) string { return fmt.Sprintf("mtt-%s.s%d", run, n) }

// runOf is the run that a Sandbox of that name belongs to; "" for none.
func runOf(name string) string {
	run, ours := strings.CutPrefix(name, "mtt-")
	if !ours {
		return ""
	}
	if i := strings.LastIndex(run, ".s"); i > 0 {
		if _, err := strconv.Atoi(run[i+2:]); err == nil {
			return run[:i]
		}
	}
	return run
}

// CheckID refuses a run's name that could be mistaken for that of another run's supervisor.
func CheckID(id string) error {
	if runOf(workerName(id)) != id {
		return exit.Errorf(exit.Usage, "%q cannot be the name of a run on Modal: the Sandboxes of supervisors are named so", id).
			Hint("Choose a name that does not end in .s and a number.")
	}
	return nil
}
