package api

import (
	"context"
	"errors"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Volume is a volume as calls name it.
type Volume struct {
	ID      string
	Version int // 1 or 2: each has calls of its own
}

// FindVolume looks a volume up by its name.
func (c *Client) FindVolume(ctx context.Context, name string) (v Volume, err error) {
	_, err = c.do(ctx, "VolumeGetOrCreate", func(ctx context.Context, _ pb.ModalClientClient) error {
		var found lookup
		// Through modal-go, which knows the environment.
		volume, err := c.connection().sdk.Volumes.FromName(context.WithValue(ctx, lookupKey{}, &found), name, nil)
		if err == nil {
			v = Volume{volume.VolumeID, found.version}
		}
		return err
	})
	return v, err
}

// MakeVolume makes a volume of version 2, unless there is one of that name, of any version.
func (c *Client) MakeVolume(ctx context.Context, environment, name string) error {
	_, err := c.do(ctx, "VolumeGetOrCreate", func(ctx context.Context, raw pb.ModalClientClient) error {
		_, err := raw.VolumeGetOrCreate(ctx, pb.VolumeGetOrCreateRequest_builder{
			DeploymentName: name, EnvironmentName: environment, Version: pb.VolumeFsVersion_VOLUME_FS_VERSION_V2,
			ObjectCreationType: pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
		}.Build())
		return err
	})
	if errors.Is(err, ErrPrecondition) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrExists) { // one of another version
		return nil
	}
	return err
}

func versionOf(answer *pb.VolumeGetOrCreateResponse) int {
	version := answer.GetVersion()
	if version == pb.VolumeFsVersion_VOLUME_FS_VERSION_UNSPECIFIED {
		version = answer.GetMetadata().GetVersion()
	}
	if version == pb.VolumeFsVersion_VOLUME_FS_VERSION_V2 {
		return 2
	}
	return 1
}
