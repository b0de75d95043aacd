package modalfake

import (
	"context"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// VolumePutFiles2 makes the files if all of their blocks are there, and otherwise says which are missing. A block is
// there if some file has had it, or if the request brings what the transfer of it was answered.
func (s service) VolumePutFiles2(_ context.Context, r *pb.VolumePutFiles2Request) (*pb.VolumePutFiles2Response, error) {
	if err := s.mustBe(r.GetVolumeId(), 2); err != nil {
		return nil, err
	}
	var missing []*pb.VolumePutFiles2Response_MissingBlock
	entries := make([]volume.Entry, len(r.GetFiles()))
	now := time.Now().Unix()
	for i, file := range r.GetFiles() {
		if got, want := len(file.GetBlocks()), volume.Blocks(file.GetSize()); got != want {
			return nil, invalid("%s: %d bytes are %d blocks, not %d", file.GetPath(), file.GetSize(), want, got)
		}
		entries[i] = volume.Entry{Type: volume.File, Mode: file.GetMode() & 0o777, MTime: now, Size: file.GetSize()}
		for j, block := range file.GetBlocks() {
			sum := content.Sum(hex.EncodeToString(block.GetContentsSha256()))
			if !s.arrived(sum, block.GetPutResponse()) {
				missing = append(missing, pb.VolumePutFiles2Response_MissingBlock_builder{
					FileIndex: uint64(i), BlockIndex: uint64(j), PutUrl: s.putURL(sum),
				}.Build())
			}
			entries[i].Blocks = append(entries[i].Blocks, sum)
		}
	}
	if len(missing) > 0 {
		return pb.VolumePutFiles2Response_builder{MissingBlocks: missing}.Build(), nil
	}
	return &pb.VolumePutFiles2Response{}, s.changeVolume(r.GetVolumeId(), func(tree volume.Tree) (volume.Tree, error) {
		for i, file := range r.GetFiles() {
			if err := putFile(tree, file.GetPath(), entries[i], r.GetDisallowOverwriteExistingFiles()); err != nil {
				return nil, err
			}
		}
		return tree, nil
	})
}

// VolumePutFiles is that of version 1, whose files were uploaded whole by MountPutFile.
func (s service) VolumePutFiles(_ context.Context, r *pb.VolumePutFilesRequest) (*emptypb.Empty, error) {
	if err := s.mustBe(r.GetVolumeId(), 1); err != nil {
		return nil, err
	}
	entries := make([]volume.Entry, len(r.GetFiles()))
	for i, file := range r.GetFiles() {
		entry, err := s.uploaded(content.Sum(file.GetSha256Hex()), file.GetMode())
		if err != nil {
			return nil, err
		}
		entries[i] = entry
	}
	return &emptypb.Empty{}, s.changeVolume(r.GetVolumeId(), func(tree volume.Tree) (volume.Tree, error) {
		for i, file := range r.GetFiles() {
			if err := putFile(tree, file.GetFilename(), entries[i], r.GetDisallowOverwriteExistingFiles()); err != nil {
				return nil, err
			}
		}
		return tree, nil
	})
}

func putFile(tree volume.Tree, path string, entry volume.Entry, exclusive bool) error {
	if exclusive {
		if _, err := tree.Get(path); err == nil {
			return exists("%s: already exists", path)
		}
	}
	return tree.Put(path, entry)
}

// uploaded is the entry of a file that MountPutFile brought.
func (s *Server) uploaded(sum content.Sum, mode uint32) (volume.Entry, error) {
	f, err := s.content.Open(sum)
	if err != nil {
		return volume.Entry{}, invalid("the file with SHA-256 %s was not uploaded", sum)
	}
	defer f.Close()
	entry := volume.Entry{Type: volume.File, Mode: mode & 0o777, MTime: time.Now().Unix()}
	entry.Blocks, entry.Size, err = volume.Store(s.content, f)
	return entry, err
}
