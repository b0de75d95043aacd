package api

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Workspace returns the name of the workspace that the credentials are of; "" where Modal does not tell.
func (c *Client) Workspace(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	answer, err := c.connection().raw.WorkspaceNameLookup(ctx, &emptypb.Empty{})
	if err != nil {
		return ""
	}
	return answer.GetUsername()
}

// Environment is an environment of a workspace.
type Environment struct {
	Name    string
	Default bool
}

// Environments returns the environments of the workspace.
func (c *Client) Environments(ctx context.Context) (environments []Environment, err error) {
	_, err = c.do(ctx, "EnvironmentList", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.EnvironmentList(ctx, &emptypb.Empty{})
		environments = nil
		for _, item := range answer.GetItems() {
			environments = append(environments, Environment{item.GetName(), item.GetDefault()})
		}
		return err
	})
	return environments, err
}
