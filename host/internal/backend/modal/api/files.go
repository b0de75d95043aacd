package api

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Range is a part of a file of a volume, as Modal answers where its blocks are.
type Range struct {
	Size          int64 // of the whole file
	Start, Length int64
	URLs          []string // one for each block that the range touches; they expire
}

// clientPadsBlocks is client_pads_blocks of VolumeGetFile2Request set, which modal-go's messages do not have and Modal's Python
// client sends (modal_proto.api_pb2 of 1.6.4): blocks come without the zero bytes at their end, as they are hashed. Without it
// they may come with them.
var clientPadsBlocks = protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 1)

// FileRange asks for the addresses of the blocks of a part of a file. What comes of them lacks the zero bytes at the end of a
// block, which the caller puts back.
func (c *Client) FileRange(ctx context.Context, volume Volume, path string, start, length int64) (Range, error) {
	request := pb.VolumeGetFile2Request_builder{VolumeId: volume.ID, Path: "/" + path, Start: uint64(start), Len: uint64(length)}.Build()
	request.ProtoReflect().SetUnknown(clientPadsBlocks)
	var answer *pb.VolumeGetFile2Response
	_, err := c.do(ctx, "VolumeGetFile2", func(ctx context.Context, raw pb.ModalClientClient) (err error) {
		answer, err = raw.VolumeGetFile2(ctx, request)
		return err
	})
	return Range{int64(answer.GetSize()), int64(answer.GetStart()), int64(answer.GetLen()), answer.GetGetUrls()}, err
}

// NewFile is a file that is made of blocks.
type NewFile struct {
	Path   string
	Size   int64
	Mode   fs.FileMode
	Blocks []Block
}

// Block is a block of a file: its digest, and what proves that it was transferred, empty if it was not.
type Block struct {
	SHA256 [sha256.Size]byte
	Proof  []byte
}

// MissingBlock is a block that Modal does not have, by its place in the files of a call, and the address to put it to.
type MissingBlock struct {
	File, Block uint64
	URL         string
}

// PutFiles makes files, all together, if no block of them is missing. With exclusive, a file that exists is ErrExists.
func (c *Client) PutFiles(ctx context.Context, volume Volume, files []NewFile, exclusive bool) (missing []MissingBlock, err error) {
	request := pb.VolumePutFiles2Request_builder{VolumeId: volume.ID, Files: putRequests(files), DisallowOverwriteExistingFiles: exclusive}.Build()
	_, err = c.do(ctx, "VolumePutFiles2", func(ctx context.Context, raw pb.ModalClientClient) error {
		answer, err := raw.VolumePutFiles2(ctx, request)
		missing = nil
		for _, m := range answer.GetMissingBlocks() {
			missing = append(missing, MissingBlock{m.GetFileIndex(), m.GetBlockIndex(), m.GetPutUrl()})
		}
		return err
	})
	return missing, err
}

func putRequests(files []NewFile) []*pb.VolumePutFiles2Request_File {
	requests := make([]*pb.VolumePutFiles2Request_File, len(files))
	for i, file := range files {
		blocks := make([]*pb.VolumePutFiles2Request_Block, len(file.Blocks))
		for j, block := range file.Blocks {
			blocks[j] = pb.VolumePutFiles2Request_Block_builder{ContentsSha256: block.SHA256[:], PutResponse: block.Proof}.Build()
		}
		mode := uint32(file.Mode.Perm())
		requests[i] = pb.VolumePutFiles2Request_File_builder{Path: "/" + file.Path, Size: uint64(file.Size), Mode: &mode, Blocks: blocks}.Build()
	}
	return requests
}

// RemoveFile removes a file, or with recursive a directory. With lost, ErrNotFound may be about what an earlier try has
// removed.
func (c *Client) RemoveFile(ctx context.Context, volume Volume, path string, recursive bool) (lost bool, err error) {
	return c.do(ctx, "VolumeRemoveFile2", func(ctx context.Context, raw pb.ModalClientClient) error {
		if volume.Version == 1 {
			_, err := raw.VolumeRemoveFile(ctx, pb.VolumeRemoveFileRequest_builder{VolumeId: volume.ID, Path: "/" + path, Recursive: recursive}.Build())
			return err
		}
		_, err := raw.VolumeRemoveFile2(ctx, pb.VolumeRemoveFile2Request_builder{VolumeId: volume.ID, Path: "/" + path, Recursive: recursive}.Build())
		return err
	})
}

// Entry is what is at a path of a volume.
type Entry struct {
	Path     string // as Modal writes it
	Type     EntryType
	Size     int64
	Modified time.Time
}

// EntryType is the kind of what is at a path.
type EntryType int

// The types that Modal has, and any other.
const (
	OtherEntry EntryType = iota
	FileEntry
	DirectoryEntry
	SymlinkEntry
)
