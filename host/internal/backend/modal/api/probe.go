package api

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Ids that nothing has.
const (
	noVolume  = "vo-0000000000000000000000"
	noSandbox = "sb-0000000000000000000000"
)

// probe is a call that mtt needs and that modal-go has no method for. It is made about what is not there, so it changes
// nothing, and any answer but "no such call" says that Modal has it.
type probe struct {
	name string
	call func(context.Context, pb.ModalClientClient) error
}

var probes = []probe{
	{"VolumeListFiles2", func(ctx context.Context, raw pb.ModalClientClient) error {
		stream, err := raw.VolumeListFiles2(ctx, pb.VolumeListFiles2Request_builder{VolumeId: noVolume, Path: "/"}.Build())
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}},
	{"VolumeGetFile2", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.VolumeGetFile2(ctx, pb.VolumeGetFile2Request_builder{VolumeId: noVolume, Path: "/doctor"}.Build())
		return err
	}},
	{"VolumePutFiles2", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.VolumePutFiles2(ctx, pb.VolumePutFiles2Request_builder{VolumeId: noVolume}.Build())
		return err
	}},
	{"VolumeRemoveFile2", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.VolumeRemoveFile2(ctx, pb.VolumeRemoveFile2Request_builder{VolumeId: noVolume, Path: "/doctor"}.Build())
		return err
	}},
	{"AppList", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.AppList(ctx, &pb.AppListRequest{})
		return err
	}},
	{"SandboxList", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxList(ctx, &pb.SandboxListRequest{})
		return err
	}},
	{"SandboxGetFromName", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxGetFromName(ctx, pb.SandboxGetFromNameRequest_builder{SandboxName: "doctor-none", AppName: "mtt"}.Build())
		return err
	}},
	{"SandboxGetTaskId", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxGetTaskId(ctx, pb.SandboxGetTaskIdRequest_builder{SandboxId: noSandbox}.Build())
		return err
	}},
	{"SandboxWait", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxWait(ctx, pb.SandboxWaitRequest_builder{SandboxId: noSandbox}.Build())
		return err
	}},
	{"SandboxGetLogs", func(ctx context.Context, raw pb.ModalClientClient) error {
		stream, err := raw.SandboxGetLogs(ctx, pb.SandboxGetLogsRequest_builder{SandboxId: noSandbox, FileDescriptor: pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT, Timeout: 1}.Build())
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}},
	{"SandboxStdinWrite", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.SandboxStdinWrite(ctx, pb.SandboxStdinWriteRequest_builder{SandboxId: noSandbox, Index: 1}.Build())
		return err
	}},
}

const (
	// probeTime is how long one is waited for, and probeTries how often a failure is given that may pass.
	probeTime  = 15 * time.Second
	probeTries = 4
)

// Probed is what Modal answers to the calls that are not in its public interface.
type Probed struct {
	Calls  int
	Gone   []string // calls that it does not have
	Silent []string // those without an answer, each with the reason
}

// Probe asks for each call once that mtt needs and that is not in Modal's public interface.
func (c *Client) Probe(ctx context.Context) Probed {
	answers := make([]error, len(probes))
	var group sync.WaitGroup
	for i, p := range probes {
		group.Go(func() { answers[i] = c.ask(ctx, p) })
	}
	group.Wait()
	probed := Probed{Calls: len(probes)}
	for i, err := range answers {
		if err == nil || err == io.EOF {
			continue
		}
		switch refused := refusalOf(err); refused.code {
		case codes.Unimplemented:
			probed.Gone = append(probed.Gone, probes[i].name)
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unauthenticated:
			probed.Silent = append(probed.Silent, fmt.Sprintf("%s (%s)", probes[i].name, refused.Text))
		}
	}
	return probed
}

func (c *Client) ask(ctx context.Context, p probe) error {
	for tried := 0; ; tried++ {
		inTime, cancel := context.WithTimeout(ctx, probeTime)
		err := p.call(inTime, c.connection().raw)
		cancel()
		if err == nil || err == io.EOF || refusalOf(err).code != codes.Unavailable || tried+1 == probeTries {
			return err
		}
		if err := Pause(ctx, tried); err != nil {
			return err
		}
	}
}
