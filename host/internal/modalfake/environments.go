package modalfake

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// An environment is only a name that records bear: every one exists.

func (s service) EnvironmentGetOrCreate(_ context.Context, r *pb.EnvironmentGetOrCreateRequest) (*pb.EnvironmentGetOrCreateResponse, error) {
	name := environment(r.GetDeploymentName())
	return pb.EnvironmentGetOrCreateResponse_builder{EnvironmentId: "en-" + name, Metadata: pb.EnvironmentMetadata_builder{
		Name: name, Settings: pb.EnvironmentSettings_builder{ImageBuilderVersion: builderVersion}.Build(),
	}.Build()}.Build(), nil
}

func (s service) EnvironmentList(context.Context, *emptypb.Empty) (*pb.EnvironmentListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{defaultEnvironment}
	for _, a := range s.apps.All() {
		names = append(names, a.Environment)
	}
	for _, v := range s.volumes.All() {
		names = append(names, v.Environment)
	}
	slices.Sort(names)
	var items []*pb.EnvironmentListItem
	for _, name := range slices.Compact(names) {
		items = append(items, pb.EnvironmentListItem_builder{Name: name, EnvironmentId: "en-" + name, Default: name == defaultEnvironment}.Build())
	}
	return pb.EnvironmentListResponse_builder{Items: items}.Build(), nil
}

func (s service) WorkspaceNameLookup(context.Context, *emptypb.Empty) (*pb.WorkspaceNameLookupResponse, error) {
	return pb.WorkspaceNameLookupResponse_builder{Username: person}.Build(), nil
}

func (s service) TokenInfoGet(context.Context, *pb.TokenInfoGetRequest) (*pb.TokenInfoGetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.TokenInfoGetResponse_builder{
		TokenId: s.auth.TokenID, WorkspaceId: "ac-" + person, WorkspaceName: person,
		UserIdentity: pb.UserIdentity_builder{UserId: "us-" + person, Username: person}.Build(),
	}.Build(), nil
}
