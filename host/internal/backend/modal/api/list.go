package api

import (
	"context"
	"time"

	"google.golang.org/grpc"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/exit"
)

const (
	// quiet is how long a stream may bring nothing.
	quiet = time.Minute
	// listTries is how often a list is asked for: it cannot be gone on with where its stream broke.
	listTries = 5
)

// ListFiles lists a path of a volume: a directory's entries, with recursive all below it, or the file itself. most bounds
// how many there are; 0: all.
func (c *Client) ListFiles(ctx context.Context, volume Volume, path string, recursive bool, most uint32) (entries []Entry, err error) {
	for range listTries { // of tries each
		_, err = c.do(ctx, "VolumeListFiles2", func(ctx context.Context, raw pb.ModalClientClient) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			late := time.AfterFunc(quiet, cancel)
			defer late.Stop()
			entries = nil
			next, err := listing(ctx, raw, volume, path, recursive, most)
			if err != nil {
				return err
			}
			return collect(next, func(entry *pb.FileEntry) {
				late.Reset(quiet)
				entries = append(entries, entryOf(entry))
			})
		})
		if exit.Of(err) != exit.Unavailable || len(entries) == 0 {
			break
		}
	}
	return entries, err
}

// listing begins a list. Each version has a call of its own.
func listing(ctx context.Context, raw pb.ModalClientClient, volume Volume, path string, recursive bool, most uint32) (func() ([]*pb.FileEntry, error), error) {
	var limit *uint32
	if most > 0 {
		limit = &most
	}
	// A header of the client's goes with every stream, but no auth token: modal-go has none for streams, and Modal's
	// Python client never sends any.
	if volume.Version == 1 {
		stream, err := raw.VolumeListFiles(ctx, pb.VolumeListFilesRequest_builder{VolumeId: volume.ID, Path: "/" + path, Recursive: recursive, MaxEntries: limit}.Build())
		return receiving(stream), err
	}
	stream, err := raw.VolumeListFiles2(ctx, pb.VolumeListFiles2Request_builder{VolumeId: volume.ID, Path: "/" + path, Recursive: recursive, MaxEntries: limit}.Build())
	return receiving(stream), err
}

func receiving[T any, M interface {
	*T
	GetEntries() []*pb.FileEntry
}](stream grpc.ServerStreamingClient[T]) func() ([]*pb.FileEntry, error) {
	return func() ([]*pb.FileEntry, error) {
		message, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		return M(message).GetEntries(), nil
	}
}

func entryOf(entry *pb.FileEntry) Entry {
	types := map[pb.FileEntry_FileType]EntryType{pb.FileEntry_FILE: FileEntry, pb.FileEntry_DIRECTORY: DirectoryEntry, pb.FileEntry_SYMLINK: SymlinkEntry}
	return Entry{
		Path: entry.GetPath(), Type: types[entry.GetType()],
		Size: int64(entry.GetSize()), Modified: time.Unix(int64(entry.GetMtime()), 0),
	}
}
