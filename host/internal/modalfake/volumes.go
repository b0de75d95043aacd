package modalfake

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/volume"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// volumeRecord is a volume. Its tree is what is committed; a change replaces it by another.
type volumeRecord struct {
	ID          string      `json:"id"`
	Name        string      `json:"name,omitempty"` // "" for an ephemeral one
	Environment string      `json:"environment"`
	Version     int         `json:"version"` // 1 or 2
	Created     time.Time   `json:"created"`
	Tree        volume.Tree `json:"tree"`
}

func (v *volumeRecord) version() pb.VolumeFsVersion { return pb.VolumeFsVersion(v.Version) }

func (v *volumeRecord) metadata() *pb.VolumeMetadata {
	return pb.VolumeMetadata_builder{
		Version:      v.version(),
		Name:         v.Name,
		CreationInfo: pb.CreationInfo_builder{CreatedAt: seconds(v.Created), CreatedBy: person}.Build(),
	}.Build()
}

// person is who made everything here.
const person = "modal-fake"

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func (s service) VolumeGetOrCreate(_ context.Context, r *pb.VolumeGetOrCreateRequest) (*pb.VolumeGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, env := r.GetDeploymentName(), environment(r.GetEnvironmentName())
	v := s.volumes.Find(func(v *volumeRecord) bool { return name != "" && v.Name == name && v.Environment == env })
	do, err := decide(r.GetObjectCreationType(), v != nil, "Volume", name)
	if err != nil {
		return nil, err
	}
	if do.make {
		v = &volumeRecord{ID: newID("vo"), Name: name, Environment: env, Version: 1, Created: time.Now(), Tree: volume.Tree{}}
		if do.nameless {
			v.Name = ""
		}
		if r.GetVersion() == pb.VolumeFsVersion_VOLUME_FS_VERSION_V2 {
			v.Version = 2
		}
		if err := s.volumes.Put(v.ID, v); err != nil {
			return nil, err
		}
	}
	return pb.VolumeGetOrCreateResponse_builder{VolumeId: v.ID, Version: v.version(), Metadata: v.metadata()}.Build(), nil
}

func (s service) VolumeHeartbeat(_ context.Context, r *pb.VolumeHeartbeatRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.volume(r.GetVolumeId())
	return &emptypb.Empty{}, err
}

func (s service) VolumeList(_ context.Context, r *pb.VolumeListRequest) (*pb.VolumeListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env, before, limit := environment(r.GetEnvironmentName()), r.GetPagination().GetCreatedBefore(), int(r.GetPagination().GetMaxObjects())
	volumes := slices.DeleteFunc(s.volumes.All(), func(v *volumeRecord) bool {
		return v.Name == "" || v.Environment != env || (before > 0 && seconds(v.Created) >= before)
	})
	slices.SortFunc(volumes, func(a, b *volumeRecord) int { return b.Created.Compare(a.Created) })
	var items []*pb.VolumeListItem
	for _, v := range volumes {
		if limit > 0 && len(items) == limit {
			break
		}
		items = append(items, pb.VolumeListItem_builder{Label: v.Name, VolumeId: v.ID, CreatedAt: seconds(v.Created), Metadata: v.metadata()}.Build())
	}
	return pb.VolumeListResponse_builder{Items: items, EnvironmentName: env}.Build(), nil
}

func (s service) VolumeRename(_ context.Context, r *pb.VolumeRenameRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.volume(r.GetVolumeId())
	if err != nil {
		return nil, err
	}
	if err := checkName("Volume", r.GetName()); err != nil {
		return nil, err
	}
	if s.volumes.Find(func(o *volumeRecord) bool { return o.Name == r.GetName() && o.Environment == v.Environment }) != nil {
		return nil, status.Errorf(codes.AlreadyExists, "Volume '%s' already exists", r.GetName())
	}
	v.Name = r.GetName()
	return &emptypb.Empty{}, s.volumes.Put(v.ID, v)
}

func (s service) VolumeDelete(_ context.Context, r *pb.VolumeDeleteRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.volume(r.GetVolumeId()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, s.volumes.Delete(r.GetVolumeId())
}

// VolumeCommit and VolumeReload come from programs inside a container, which these Sandboxes have no way to be: their
// files are committed when they sync the mount point.
func (s service) VolumeCommit(_ context.Context, r *pb.VolumeCommitRequest) (*pb.VolumeCommitResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, "a volume can be committed only from inside a container")
}

func (s service) VolumeReload(context.Context, *pb.VolumeReloadRequest) (*emptypb.Empty, error) {
	return nil, status.Error(codes.FailedPrecondition, "a volume can be reloaded only from inside a container")
}

// volume returns the record of that id. The caller holds mu.
func (s *Server) volume(id string) (*volumeRecord, error) {
	if v := s.volumes.Get(id); v != nil {
		return v, nil
	}
	return nil, notFound("Volume '%s' not found", id)
}

// changeVolume replaces the tree of a volume by what change makes of a copy of it, or leaves it as it was.
func (s *Server) changeVolume(id string, change func(volume.Tree) (volume.Tree, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.volume(id)
	if err != nil {
		return err
	}
	tree, err := change(v.Tree.Clone())
	if err != nil {
		return err
	}
	if limit := s.dice.Now().VolumeLimit; limit > 0 && tree.Bytes() > uint64(limit) && tree.Bytes() > v.Tree.Bytes() {
		return status.Errorf(codes.ResourceExhausted, "Volume '%s' is full: it holds %d bytes", v.Name, limit)
	}
	changed := *v
	changed.Tree = tree
	return s.volumes.Put(id, &changed)
}
