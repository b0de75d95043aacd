package modalfake

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// mount is a set of local files that was uploaded to be seen in Sandboxes.
type mount struct {
	ID          string      `json:"id"`
	Name        string      `json:"name,omitempty"`
	Environment string      `json:"environment"`
	Created     time.Time   `json:"created"`
	Files       []mountFile `json:"files"`
}

type mountFile struct {
	Path string      `json:"path"` // in the Sandbox
	Sum  content.Sum `json:"sum"`
	Mode uint32      `json:"mode"`
}

// MountPutFile says whether a file is there, and stores one that comes with its content or as a blob.
func (s service) MountPutFile(_ context.Context, r *pb.MountPutFileRequest) (*pb.MountPutFileResponse, error) {
	sum := content.Sum(r.GetSha256Hex())
	if r.HasData() {
		if err := s.content.PutReader(bytes.NewReader(r.GetData()), sum); err != nil {
			return nil, invalid("%v", err)
		}
	}
	// A blob's id is the sum of what it has: there is nothing to do with it.
	return pb.MountPutFileResponse_builder{Exists: s.content.Has(sum)}.Build(), nil
}

func (s service) MountGetOrCreate(_ context.Context, r *pb.MountGetOrCreateRequest) (*pb.MountGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, env := r.GetDeploymentName(), environment(r.GetEnvironmentName())
	m := s.mounts.Find(func(m *mount) bool { return name != "" && m.Name == name && m.Environment == env })
	do, err := decide(r.GetObjectCreationType(), m != nil, "Mount", name)
	if err != nil {
		return nil, err
	}
	if do.make || do.overwrite {
		if m == nil || do.nameless {
			m = &mount{ID: newID("mo"), Name: name, Environment: env, Created: time.Now()}
		}
		m.Files = nil
		for _, file := range r.GetFiles() {
			sum := content.Sum(file.GetSha256Hex())
			if !s.content.Has(sum) {
				return nil, invalid("%s: the file with SHA-256 %s was not uploaded", file.GetFilename(), sum)
			}
			m.Files = append(m.Files, mountFile{Path: file.GetFilename(), Sum: sum, Mode: file.GetMode()})
		}
		slices.SortFunc(m.Files, func(a, b mountFile) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
		if err := s.mounts.Put(m.ID, m); err != nil {
			return nil, err
		}
	}
	return pb.MountGetOrCreateResponse_builder{MountId: m.ID, HandleMetadata: &pb.MountHandleMetadata{}}.Build(), nil
}

// BlobCreate gives an address for the upload of something large. The blob's id is the sum of its content.
func (s service) BlobCreate(_ context.Context, r *pb.BlobCreateRequest) (*pb.BlobCreateResponse, error) {
	raw, err := base64.StdEncoding.DecodeString(r.GetContentSha256Base64())
	if err != nil {
		return nil, invalid("content_sha256_base64: %v", err)
	}
	sum := content.Sum(hex.EncodeToString(raw))
	url := s.putBlobURL(sum)
	return pb.BlobCreateResponse_builder{
		BlobId: string(sum), UploadUrl: &url, // for older clients
		BlobIds: []string{string(sum)}, UploadUrls: pb.UploadUrlList_builder{Items: []string{url}}.Build(),
	}.Build(), nil
}

// BlobGet gives an address from which a blob can be had.
func (s service) BlobGet(_ context.Context, r *pb.BlobGetRequest) (*pb.BlobGetResponse, error) {
	sum := content.Sum(r.GetBlobId())
	if !s.content.Has(sum) {
		return nil, notFound("Blob '%s' not found", r.GetBlobId())
	}
	return pb.BlobGetResponse_builder{DownloadUrl: s.blobURL(sum)}.Build(), nil
}
