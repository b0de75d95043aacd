package api

import (
	"context"
	"errors"

	modal "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// FindApp returns the id of an app, "" for none, and the environment that is looked in. With create, one that does not
// exist is made.
func (c *Client) FindApp(ctx context.Context, name string, create bool) (id, environment string, err error) {
	_, err = c.do(ctx, "AppGetOrCreate", func(ctx context.Context, _ pb.ModalClientClient) error {
		var found lookup
		// Through modal-go, which knows the environment.
		app, err := c.connection().sdk.Apps.FromName(context.WithValue(ctx, lookupKey{}, &found), name, &modal.AppFromNameParams{CreateIfMissing: create})
		environment = found.environment
		if err == nil {
			id = app.AppID
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return "", environment, nil
	}
	return id, environment, err
}

// Apps returns the ids of the apps of an environment that are not stopped, by their names.
func (c *Client) Apps(ctx context.Context, environment string) (map[string]string, error) {
	var answer *pb.AppListResponse
	_, err := c.do(ctx, "AppList", func(ctx context.Context, raw pb.ModalClientClient) (err error) {
		answer, err = raw.AppList(ctx, pb.AppListRequest_builder{EnvironmentName: environment}.Build())
		return err
	})
	apps := map[string]string{}
	for _, app := range answer.GetApps() {
		if app.GetState() != pb.AppState_APP_STATE_STOPPED {
			apps[app.GetName()] = app.GetAppId()
		}
	}
	return apps, err
}
