package api

import (
	"context"
	"errors"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// SetSecret makes a Secret of these variables, or replaces the one of that name, and returns its id.
func (c *Client) SetSecret(ctx context.Context, environment, name string, variables map[string]string) (id string, err error) {
	return c.secret(ctx, pb.SecretGetOrCreateRequest_builder{
		DeploymentName: name, EnvironmentName: environment, EnvDict: variables,
		ObjectCreationType: pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS,
	}.Build())
}

// FindSecret returns the id of a Secret. ErrNotFound: there is none of that name, or it lacks one of the keys.
func (c *Client) FindSecret(ctx context.Context, environment, name string, keys []string) (id string, err error) {
	return c.secret(ctx, pb.SecretGetOrCreateRequest_builder{DeploymentName: name, EnvironmentName: environment, RequiredKeys: keys}.Build())
}

func (c *Client) secret(ctx context.Context, request *pb.SecretGetOrCreateRequest) (id string, err error) {
	_, err = c.do(ctx, "SecretGetOrCreate", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.SecretGetOrCreate(ctx, request)
		id = answer.GetSecretId()
		return err
	})
	return id, err
}

// DeleteSecret removes a Secret. One that is not there is no error.
func (c *Client) DeleteSecret(ctx context.Context, environment, name string) error {
	id, err := c.FindSecret(ctx, environment, name, nil)
	if err == nil {
		_, err = c.do(ctx, "SecretDelete", func(ctx context.Context, raw pb.ModalClientClient) error {
			_, err := raw.SecretDelete(ctx, pb.SecretDeleteRequest_builder{SecretId: id}.Build())
			return err
		})
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
