package modal_test

import (
	"testing"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// sandbox starts one of that name that does nothing, in an app that is there.
func (l *lab) sandbox(t *testing.T, app, name string) {
	t.Helper()
	found, err := l.client.Apps.FromName(t.Context(), app, nil)
	if err != nil {
		t.Fatal(err)
	}
	image, err := l.client.Raw.ImageGetOrCreate(t.Context(), pb.ImageGetOrCreateRequest_builder{
		AppId: found.AppID, Image: pb.Image_builder{DockerfileCommands: []string{"FROM scratch"}}.Build(),
	}.Build())
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.client.Raw.SandboxCreate(t.Context(), pb.SandboxCreateRequest_builder{AppId: found.AppID, Definition: pb.Sandbox_builder{
		EntrypointArgs: []string{"sleep", "600"}, ImageId: image.GetImageId(), TimeoutSecs: 600, Name: &name,
	}.Build()}.Build())
	if err != nil {
		t.Fatal(err)
	}
}
