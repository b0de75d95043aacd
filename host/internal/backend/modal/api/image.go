package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// builder is the version of Modal's image builder that the layers are for: one that is named keeps what is cached.
const builder = "2024.10"

// BuildError is that of an image that cannot be built.
type BuildError struct {
	Command string // the Dockerfile command of the layer
	Text    string // in the words of the build
}

func (e *BuildError) Error() string {
	return fmt.Sprintf("the image cannot be built: %s: %s", e.Command, e.Text)
}

// Image returns the id of an image: a base by its reference, and Dockerfile commands, each a layer that is built once.
// *BuildError: one of them cannot be.
func (c *Client) Image(ctx context.Context, app, base string, layers []string) (id string, err error) {
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

const (
	// buildTries is how often an image is built whose build Modal ends: each may take long, and cost.
	buildTries = 5
	// Pauses between them, of which the longest is for a machine that Modal is short of.
	firstBuildPause = time.Second
	lastBuildPause  = time.Minute
)

// layer makes one layer, waits until it is built, and builds it again if Modal has ended that.
func (c *Client) layer(ctx context.Context, app string, image *pb.Image) (string, error) {
	pause := firstBuildPause
	for tried := 1; ; tried++ {
		id, err := c.layerOnce(ctx, app, image)
		ended, ok := errors.AsType[*buildEnded](err)
		switch {
		case !ok:
			return id, err
		case tried == buildTries:
			return "", exit.Errorf(exit.Unavailable, "%w: %w, %d times", errRefused, ended, tried).
				Hint("Look at https://status.modal.com, and repeat the command: it goes on.")
		}
		c.say(fmt.Sprintf("%v; building it again", ended))
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastBuildPause)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (c *Client) layerOnce(ctx context.Context, app string, image *pb.Image) (string, error) {
	var answer *pb.ImageGetOrCreateResponse
	_, err := c.do(ctx, "ImageGetOrCreate", func(ctx context.Context, raw pb.ModalClientClient) (err error) {
		answer, err = raw.ImageGetOrCreate(ctx, pb.ImageGetOrCreateRequest_builder{AppId: app, Image: image, BuilderVersion: builder}.Build())
		return err
	})
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrPrecondition) {
		return "", buildError(image, err.Error())
	}
	if err != nil {
		return "", err
	}
	result, said := resultOf(answer.GetResult()), []string(nil)
	if result == nil {
		if result, said, err = c.joinBuild(ctx, answer.GetImageId()); err != nil {
			return "", err
		}
	}
	switch result.Status {
	case Success:
		return answer.GetImageId(), nil
	case Failure:
		return "", buildError(image, result.Exception+"\n"+tailOf(said))
	default:
		return "", &buildEnded{commandOf(image), result}
	}
}

// buildEnded is the error of a build that Modal has ended, which says nothing about the image.
type buildEnded struct {
	command string
	result  *Result
}

func (e *buildEnded) Error() string {
	text := fmt.Sprintf("Modal has ended the build of the image before it was done: %s: %s", e.command, e.result.Status)
	if e.result.Exception != "" {
		text += ": " + e.result.Exception
	}
	return text
}

// joinBuild waits for the end of a build, and returns what it has said.
func (c *Client) joinBuild(ctx context.Context, id string) (result *Result, said []string, err error) {
	last := ""
	for result == nil && err == nil {
		// A stream that breaks, or ends without a result, is asked for anew where it was.
		_, err = c.do(ctx, "ImageJoinStreaming", func(ctx context.Context, raw pb.ModalClientClient) error {
			ctx, cancel := context.WithTimeout(ctx, streamTime)
			defer cancel()
			stream, err := raw.ImageJoinStreaming(ctx, pb.ImageJoinStreamingRequest_builder{ImageId: id, Timeout: 55, LastEntryId: last}.Build())
			if err != nil {
				return err
			}
			for result == nil {
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
				result = resultOf(item.GetResult())
			}
			return nil
		})
	}
	return result, said, err
}

func buildError(image *pb.Image, why string) error { return &BuildError{commandOf(image), why} }

// commandOf is the Dockerfile command that a layer is of.
func commandOf(image *pb.Image) string {
	commands := image.GetDockerfileCommands()
	return commands[len(commands)-1]
}

// tailOf is the end of what a build has said.
func tailOf(said []string) (text string) {
	for _, line := range said[max(0, len(said)-20):] {
		text += line
	}
	return text
}
