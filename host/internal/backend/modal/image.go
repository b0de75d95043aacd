package modal

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// builder is the version of Modal's image builder that the layers are for: one that is named keeps what is cached.
const builder = "2024.10"

// streamTime bounds a stream that the server ends after 55 s.
const streamTime = 90 * time.Second

// image returns the id of an image: a base by its reference, and Dockerfile commands, each a layer that is built once.
func (c *Client) image(ctx context.Context, app, base string, layers []string) (id string, err error) {
	id, err = c.layer(ctx, app, pb.Image_builder{DockerfileCommands: []string{"FROM " + base}}.Build())
	for _, command := range layers {
		if err != nil {
			return "", err
		}
		id, err = c.layer(ctx, app, pb.Image_builder{
			DockerfileCommands: []string{"FROM base", command},
			BaseImages:         []*pb.BaseImage{pb.BaseImage_builder{DockerTag: "base", ImageId: id}.Build()},
		}.Build())
	}
	return id, err
}

// layer makes one layer, and waits until it is built.
func (c *Client) layer(ctx context.Context, app string, image *pb.Image) (string, error) {
	var answer *pb.ImageGetOrCreateResponse
	_, err := c.do(ctx, "ImageGetOrCreate", func(ctx context.Context, raw pb.ModalClientClient) (err error) {
		answer, err = raw.ImageGetOrCreate(ctx, pb.ImageGetOrCreateRequest_builder{AppId: app, Image: image, BuilderVersion: builder}.Build())
		return err
	})
	if isCode(err, codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition) {
		return "", imageError(image, err.Error())
	}
	if err != nil {
		return "", err
	}
	result, last := answer.GetResult(), ""
	var said []string
	for result.GetStatus() == pb.GenericResult_GENERIC_STATUS_UNSPECIFIED {
		// A stream that breaks, or ends without a result, is asked for anew where it was.
		_, err := c.do(ctx, "ImageJoinStreaming", func(ctx context.Context, raw pb.ModalClientClient) error {
			ctx, cancel := context.WithTimeout(ctx, streamTime)
			defer cancel()
			stream, err := raw.ImageJoinStreaming(ctx, pb.ImageJoinStreamingRequest_builder{ImageId: answer.GetImageId(), Timeout: 55, LastEntryId: last}.Build())
			if err != nil {
				return err
			}
			for {
				item, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if item.GetEntryId() != "" {
					last = item.GetEntryId()
				}
				for _, log := range item.GetTaskLogs() {
					said = append(said, log.GetData())
				}
				if r := item.GetResult(); r.GetStatus() != pb.GenericResult_GENERIC_STATUS_UNSPECIFIED {
					result = r
					return nil
				}
			}
		})
		if err != nil {
			return "", err
		}
	}
	if result.GetStatus() != pb.GenericResult_GENERIC_STATUS_SUCCESS {
		return "", imageError(image, result.GetException()+"\n"+tailOf(said))
	}
	return answer.GetImageId(), nil
}

func imageError(image *pb.Image, why string) error {
	commands := image.GetDockerfileCommands()
	return exit.Errorf(exit.Usage, "the image cannot be built: %s: %s", commands[len(commands)-1], why).
		Hint("Name another with --image REF, or other packages with --apt.")
}

// tailOf is the end of what a build has said.
func tailOf(said []string) (text string) {
	for _, line := range said[max(0, len(said)-20):] {
		text += line
	}
	return text
}
