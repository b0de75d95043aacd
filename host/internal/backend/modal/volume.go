package modal

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Volume is a volume of Modal's. Those of version 1 are listed, read and removed from, but not written to. What Put has
// put is durable as far as Modal has it: it survives everything here.
type Volume struct {
	client  *Client
	name    string
	id      string
	version int
}

// OpenVolume connects to Modal, as Connect does, and looks a volume up.
// fs.ErrNotExist: there is no such volume.
func OpenVolume(ctx context.Context, environment, name string) (*Volume, error) {
	client, err := Connect(ctx, environment)
	if err != nil {
		return nil, err
	}
	volume, err := client.volume(ctx, name)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return volume, nil
}

func (c *Client) volume(ctx context.Context, name string) (*Volume, error) {
	v := &Volume{client: c, name: name}
	_, err := c.do(ctx, "VolumeGetOrCreate", func(ctx context.Context, _ pb.ModalClientClient) error {
		var found lookup
		// Through modal-go, which knows the environment.
		volume, err := c.connection().sdk.Volumes.FromName(context.WithValue(ctx, lookupKey{}, &found), name, nil)
		if err != nil {
			return err
		}
		v.id, v.version = volume.VolumeID, found.version
		return nil
	})
	if failed, ok := errors.AsType[*failure](err); ok {
		if failed.code == codes.NotFound {
			return nil, backend.PathError("open volume", name, fs.ErrNotExist)
		}
		return nil, exit.Errorf(exit.Usage, "open volume %s: %w", name, err)
	}
	return v, err
}

// exists looks whether the volume is there still. exit.NotFound: it was deleted.
func (v *Volume) exists(ctx context.Context) error {
	_, err := v.list(ctx, "", false, 1)
	if failed, ok := errors.AsType[*failure](err); ok && failed.code == codes.NotFound {
		return exit.Errorf(exit.NotFound, "the volume %s (%s) was deleted, with all that was on it", v.name, v.id)
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

// Close is that of backend.Volume.
func (v *Volume) Close() error { return v.client.Close() }

// Stat is that of backend.Volume. There is no call for it: the list of a file is the file.
func (v *Volume) Stat(ctx context.Context, name string) (backend.Entry, error) {
	clean, err := backend.Clean(name)
	if err != nil {
		return backend.Entry{}, err
	}
	if clean != "" {
		entries, err := v.list(ctx, clean, false, 1)
		if err != nil {
			return backend.Entry{}, pathError("stat", name, err)
		}
		if len(entries) == 1 && entries[0].Path == clean {
			return entries[0], nil
		}
	}
	return backend.Entry{Path: clean, Type: backend.Directory}, nil
}

// List is that of backend.Volume.
func (v *Volume) List(ctx context.Context, name string, recursive bool) ([]backend.Entry, error) {
	clean, err := backend.Clean(name)
	if err != nil {
		return nil, err
	}
	entries, err := v.list(ctx, clean, recursive, 0)
	if err != nil {
		return nil, pathError("list", name, err)
	}
	slices.SortFunc(entries, func(a, b backend.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

const (
	// quiet is how long a stream may bring nothing.
	quiet = time.Minute
	// listTries is how often a list is asked for: it cannot be gone on with where its stream broke.
	listTries = 5
)

func (v *Volume) list(ctx context.Context, clean string, recursive bool, most uint32) (entries []backend.Entry, err error) {
	for range listTries { // of tries each
		_, err = v.client.do(ctx, "VolumeListFiles2", func(ctx context.Context, raw pb.ModalClientClient) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			late := time.AfterFunc(quiet, cancel)
			defer late.Stop()
			entries = nil
			next, err := v.listing(ctx, raw, clean, recursive, most)
			if err != nil {
				return err
			}
			return collect(next, func(entry *pb.FileEntry) error {
				late.Reset(quiet)
				converted, err := entryOf(entry)
				entries = append(entries, converted)
				return err
			})
		})
		if exit.Of(err) != exit.Unavailable || len(entries) == 0 {
			break
		}
	}
	return entries, err
}

// listing begins a list. Each version has a call of its own.
func (v *Volume) listing(ctx context.Context, raw pb.ModalClientClient, clean string, recursive bool, most uint32) (func() ([]*pb.FileEntry, error), error) {
	var limit *uint32
	if most > 0 {
		limit = &most
	}
	// A header of the client's goes with every stream, but no auth token: modal-go has none for streams, and Modal's
	// Python client never sends any.
	if v.version == 1 {
		stream, err := raw.VolumeListFiles(ctx, pb.VolumeListFilesRequest_builder{VolumeId: v.id, Path: "/" + clean, Recursive: recursive, MaxEntries: limit}.Build())
		return receiving(stream), err
	}
	stream, err := raw.VolumeListFiles2(ctx, pb.VolumeListFiles2Request_builder{VolumeId: v.id, Path: "/" + clean, Recursive: recursive, MaxEntries: limit}.Build())
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

func entryOf(entry *pb.FileEntry) (backend.Entry, error) {
	clean, err := backend.Clean(entry.GetPath())
	types := map[pb.FileEntry_FileType]backend.Type{pb.FileEntry_FILE: backend.File, pb.FileEntry_DIRECTORY: backend.Directory, pb.FileEntry_SYMLINK: backend.Symlink}
	converted := backend.Entry{Path: clean, Type: backend.Other, Modified: time.Unix(int64(entry.GetMtime()), 0)}
	if t, ok := types[entry.GetType()]; ok {
		converted.Type = t
	}
	if converted.Type == backend.File {
		converted.Size = int64(entry.GetSize())
	}
	return converted, err
}

// Remove is that of backend.Volume.
func (v *Volume) Remove(ctx context.Context, name string, recursive bool) error {
	clean, err := backend.Clean(name)
	if err == nil && clean == "" {
		err = backend.PathError("remove", name, fs.ErrInvalid)
	}
	if err != nil {
		return err
	}
	if !recursive {
		entry, err := v.Stat(ctx, clean)
		if err != nil {
			return pathError("remove", name, err)
		}
		if entry.Type == backend.Directory {
			return backend.PathError("remove", name, backend.ErrIsDirectory)
		}
	}
	tried, err := v.client.do(ctx, "VolumeRemoveFile2", func(ctx context.Context, raw pb.ModalClientClient) error {
		if v.version == 1 {
			_, err := raw.VolumeRemoveFile(ctx, pb.VolumeRemoveFileRequest_builder{VolumeId: v.id, Path: "/" + clean, Recursive: recursive}.Build())
			return err
		}
		_, err := raw.VolumeRemoveFile2(ctx, pb.VolumeRemoveFile2Request_builder{VolumeId: v.id, Path: "/" + clean, Recursive: recursive}.Build())
		return err
	})
	if failed, ok := errors.AsType[*failure](err); ok && failed.code == codes.NotFound && tried > 0 {
		return nil // the try whose answer was lost has removed it
	}
	return pathError("remove", name, err)
}

// pathError is an error of a call about a path, in the words of backend.
func pathError(op, name string, err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		return backend.PathError(op, name, inner.Err)
	}
	failed, ok := errors.AsType[*failure](err)
	if !ok {
		return err
	}
	switch failed.code {
	case codes.NotFound:
		return backend.PathError(op, name, fs.ErrNotExist)
	case codes.AlreadyExists:
		return backend.PathError(op, name, fs.ErrExist)
	case codes.ResourceExhausted:
		return backend.PathError(op, name, backend.ErrFull)
	default:
		return backend.PathError(op, name, failed)
	}
}
