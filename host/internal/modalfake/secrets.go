package modalfake

import (
	"context"
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// secret is a set of environment variables.
type secret struct {
	ID          string            `json:"id"`
	Name        string            `json:"name,omitempty"`
	Environment string            `json:"environment"`
	Created     time.Time         `json:"created"`
	Env         map[string]string `json:"env"`
}

func (s *secret) metadata() *pb.SecretMetadata {
	return pb.SecretMetadata_builder{Name: s.Name, CreationInfo: pb.CreationInfo_builder{CreatedAt: seconds(s.Created), CreatedBy: person}.Build()}.Build()
}

func (s service) SecretGetOrCreate(_ context.Context, r *pb.SecretGetOrCreateRequest) (*pb.SecretGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, env := r.GetDeploymentName(), environment(r.GetEnvironmentName())
	found := s.secrets.Find(func(o *secret) bool { return name != "" && o.Name == name && o.Environment == env })
	do, err := decide(r.GetObjectCreationType(), found != nil, "Secret", name)
	if err != nil {
		return nil, err
	}
	if do.make || do.overwrite {
		if found == nil || do.nameless {
			found = &secret{ID: newID("st"), Name: name, Environment: env, Created: time.Now()}
		}
		found.Env = maps.Clone(r.GetEnvDict())
		if err := s.secrets.Put(found.ID, found); err != nil {
			return nil, err
		}
	}
	for _, key := range r.GetRequiredKeys() {
		if _, ok := found.Env[key]; !ok {
			return nil, notFound("Secret '%s' has no key '%s'", name, key)
		}
	}
	return pb.SecretGetOrCreateResponse_builder{SecretId: found.ID, Metadata: found.metadata()}.Build(), nil
}

func (s service) SecretList(_ context.Context, r *pb.SecretListRequest) (*pb.SecretListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := environment(r.GetEnvironmentName())
	var items []*pb.SecretListItem
	for _, o := range s.secrets.All() {
		if o.Name != "" && o.Environment == env {
			items = append(items, pb.SecretListItem_builder{Label: o.Name, SecretId: o.ID, CreatedAt: seconds(o.Created), EnvironmentName: env, Metadata: o.metadata()}.Build())
		}
	}
	return pb.SecretListResponse_builder{Items: items, EnvironmentName: env}.Build(), nil
}

func (s service) SecretDelete(_ context.Context, r *pb.SecretDeleteRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets.Get(r.GetSecretId()) == nil {
		return nil, notFound("Secret '%s' not found", r.GetSecretId())
	}
	return &emptypb.Empty{}, s.secrets.Delete(r.GetSecretId())
}
