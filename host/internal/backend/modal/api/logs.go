package api

import (
	"context"
	"errors"
	"io"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// streamTime bounds a stream that the server ends after 55 s.
const streamTime = 90 * time.Second

// FollowSandbox hands on what a Sandbox prints to its stdout, until it has ended and all is read. A stream that breaks goes
// on behind the last entry: it must never end for good, since a run may be watched for days.
func (c *Client) FollowSandbox(ctx context.Context, sandbox string, each func(data string)) {
	last := ""
	for failures := 0; ctx.Err() == nil; {
		eof, err := c.followOnce(ctx, sandbox, &last, each)
		if eof || RefusalOf(err) != nil { // there is no such Sandbox, or its log is not kept any more
			return
		}
		if err == nil {
			failures = 0
			continue
		}
		failures++
		if Pause(ctx, failures) != nil {
			return
		}
	}
}

func (c *Client) followOnce(ctx context.Context, sandbox string, last *string, each func(string)) (eof bool, err error) {
	_, err = c.do(ctx, "SandboxGetLogs", func(ctx context.Context, raw pb.ModalClientClient) error {
		ctx, cancel := context.WithTimeout(ctx, streamTime)
		defer cancel()
		stream, err := raw.SandboxGetLogs(ctx, pb.SandboxGetLogsRequest_builder{
			SandboxId: sandbox, FileDescriptor: pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT, Timeout: 55, LastEntryId: *last,
		}.Build())
		if err != nil {
			return err
		}
		for {
			batch, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if id := batch.GetEntryId(); id != "" {
				if id == *last && !batch.GetEof() { // it comes again
					continue
				}
				*last = id
			}
			for _, item := range batch.GetItems() {
				each(item.GetData())
			}
			if batch.GetEof() {
				eof = true
				return nil
			}
		}
	})
	return eof, err
}
