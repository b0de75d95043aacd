package modalfake

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/newer"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// listBatch is how many entries come in one message, few enough that a test sees several.
const listBatch = 100

// listFiles sends the entries at path; version 0 takes any.
func (s *Server) listFiles(id, path string, recursive bool, limit uint32, send func([]*pb.FileEntry) error) error {
	s.mu.Lock()
	v, err := s.volume(id)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	list, err := v.Tree.List(path, recursive)
	if err != nil {
		return err
	}
	if limit > 0 && len(list) > int(limit) {
		list = list[:limit]
	}
	types := map[volume.Type]pb.FileEntry_FileType{volume.File: pb.FileEntry_FILE, volume.Directory: pb.FileEntry_DIRECTORY, volume.Symlink: pb.FileEntry_SYMLINK}
	for batch := range slices.Chunk(list, listBatch) {
		var entries []*pb.FileEntry
		for _, e := range batch {
			entries = append(entries, pb.FileEntry_builder{Path: strings.ToValidUTF8(e.Path, "\uFFFD"), Type: types[e.Type], Mtime: uint64(e.MTime), Size: e.Size}.Build())
		}
		if err := send(entries); err != nil {
			return err
		}
	}
	return nil
}

func (s service) VolumeListFiles(r *pb.VolumeListFilesRequest, stream grpc.ServerStreamingServer[pb.VolumeListFilesResponse]) error {
	if err := s.mustBe(r.GetVolumeId(), 1); err != nil {
		return err
	}
	return s.listFiles(r.GetVolumeId(), r.GetPath(), r.GetRecursive(), r.GetMaxEntries(), func(entries []*pb.FileEntry) error {
		return stream.Send(pb.VolumeListFilesResponse_builder{Entries: entries}.Build())
	})
}

func (s service) VolumeListFiles2(r *pb.VolumeListFiles2Request, stream grpc.ServerStreamingServer[pb.VolumeListFiles2Response]) error {
	if err := s.mustBe(r.GetVolumeId(), 2); err != nil {
		return err
	}
	return s.listFiles(r.GetVolumeId(), r.GetPath(), r.GetRecursive(), r.GetMaxEntries(), func(entries []*pb.FileEntry) error {
		return stream.Send(pb.VolumeListFiles2Response_builder{Entries: entries}.Build())
	})
}

// mustBe refuses the call of one version for a volume of the other.
func (s *Server) mustBe(id string, version int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.volume(id)
	if err != nil {
		return err
	}
	if v.Version != version {
		return status.Errorf(codes.FailedPrecondition, "Volume '%s' has version %d; this call is for version %d", v.Name, v.Version, version)
	}
	return nil
}

// file returns a file of a volume as it is now.
func (s *Server) file(id, path string) (volume.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.volume(id)
	if err != nil {
		return volume.Entry{}, err
	}
	entry, err := v.Tree.Get(path)
	if err == nil && entry.Type != volume.File {
		err = invalid("%s is a %s", path, entry.Type)
	}
	return entry, err
}

// span is the part of a file that a request means: start and length, of which 0 is the rest.
func span(entry volume.Entry, start, length uint64) (uint64, uint64) {
	start = min(start, entry.Size)
	if rest := entry.Size - start; length == 0 || length > rest {
		length = rest
	}
	return start, length
}

// VolumeGetFile2 is for both versions: the Python client reads version 1 with it too.
func (s service) VolumeGetFile2(_ context.Context, r *pb.VolumeGetFile2Request) (*pb.VolumeGetFile2Response, error) {
	entry, err := s.file(r.GetVolumeId(), r.GetPath())
	if err != nil {
		return nil, err
	}
	clientPads, err := newer.ClientPadsBlocks(r)
	if err != nil {
		return nil, invalid("%v", err)
	}
	start, length := span(entry, r.GetStart(), r.GetLen())
	var urls []string
	for _, piece := range entry.Pieces(start, length) {
		urls = append(urls, s.getURL(piece, s.dice.Now().PadBlocks && !clientPads))
	}
	return pb.VolumeGetFile2Response_builder{GetUrls: urls, Size: entry.Size, Start: start, Len: length}.Build(), nil
}

// maxInline is the most that VolumeGetFile answers with instead of a blob.
const maxInline = 4 << 20

// VolumeGetFile is that of version 1, whose larger files come as a blob.
func (s service) VolumeGetFile(_ context.Context, r *pb.VolumeGetFileRequest) (*pb.VolumeGetFileResponse, error) {
	if err := s.mustBe(r.GetVolumeId(), 1); err != nil {
		return nil, err
	}
	entry, err := s.file(r.GetVolumeId(), r.GetPath())
	if err != nil {
		return nil, err
	}
	var whole bytes.Buffer
	if err := entry.Write(s.content, &whole); err != nil {
		return nil, err
	}
	start, length := span(entry, r.GetStart(), r.GetLen())
	content := whole.Bytes()[start : start+length]
	response := pb.VolumeGetFileResponse_builder{Size: entry.Size, Start: start, Len: length}.Build()
	if len(content) <= maxInline {
		response.SetData(content)
		return response, nil
	}
	sum, err := s.content.Put(content)
	response.SetDataBlobId(string(sum))
	return response, err
}

func (s service) removeFile(id, path string, recursive bool) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.changeVolume(id, func(tree volume.Tree) (volume.Tree, error) {
		return tree, tree.Remove(path, recursive)
	})
}

func (s service) VolumeRemoveFile(_ context.Context, r *pb.VolumeRemoveFileRequest) (*emptypb.Empty, error) {
	if err := s.mustBe(r.GetVolumeId(), 1); err != nil {
		return nil, err
	}
	return s.removeFile(r.GetVolumeId(), r.GetPath(), r.GetRecursive())
}

func (s service) VolumeRemoveFile2(_ context.Context, r *pb.VolumeRemoveFile2Request) (*emptypb.Empty, error) {
	if err := s.mustBe(r.GetVolumeId(), 2); err != nil {
		return nil, err
	}
	return s.removeFile(r.GetVolumeId(), r.GetPath(), r.GetRecursive())
}

func (s service) VolumeCopyFiles(_ context.Context, r *pb.VolumeCopyFilesRequest) (*emptypb.Empty, error) {
	if err := s.mustBe(r.GetVolumeId(), 1); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, s.changeVolume(r.GetVolumeId(), func(tree volume.Tree) (volume.Tree, error) {
		return tree, tree.Copy(r.GetSrcPaths(), r.GetDstPath(), r.GetRecursive())
	})
}

func (s service) VolumeCopyFiles2(_ context.Context, r *pb.VolumeCopyFiles2Request) (*emptypb.Empty, error) {
	if err := s.mustBe(r.GetVolumeId(), 2); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, s.changeVolume(r.GetVolumeId(), func(tree volume.Tree) (volume.Tree, error) {
		return tree, tree.Copy(r.GetSrcPaths(), r.GetDstPath(), r.GetRecursive())
	})
}
