package modal

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Volume is a volume of Modal's. Those of version 1 are listed, read and removed from, but not written to. What Put has
// put is durable as far as Modal has it: it survives everything here.
type Volume struct {
	client *api.Client
	blocks *blocks
	name   string
	remote api.Volume
}

// OpenVolume connects to Modal, as Open does, and looks a volume up.
// fs.ErrNotExist: there is no such volume.
func OpenVolume(ctx context.Context, options Options) (*Volume, error) {
	if err := CheckVolume(options.Volume); err != nil {
		return nil, err
	}
	client, err := options.connect(ctx)
	if err != nil {
		return nil, err
	}
	volume, err := findVolume(ctx, client, options.Volume)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return volume, nil
}

// findVolume is OpenVolume over a connection.
func findVolume(ctx context.Context, client *api.Client, name string) (*Volume, error) {
	found, err := client.FindVolume(ctx, name)
	switch {
	case errors.Is(err, api.ErrNotFound):
		return nil, backend.PathError("open volume", name, fs.ErrNotExist)
	case api.RefusalOf(err) != nil:
		return nil, exit.Errorf(exit.Usage, "open volume %s: %w", name, err)
	case err != nil:
		return nil, err
	}
	return newVolume(client, name, found), nil
}

func newVolume(client *api.Client, name string, found api.Volume) *Volume {
	return &Volume{client: client, blocks: newBlocks(client), name: name, remote: found}
}

// exists looks whether the volume is there still. exit.NotFound: it was deleted.
func (v *Volume) exists(ctx context.Context) error {
	_, err := v.list(ctx, "", false, 1)
	if errors.Is(err, api.ErrNotFound) {
		return exit.Errorf(exit.NotFound, "the volume %s (%s) was deleted, with all that was on it", v.name, v.remote.ID)
	}
	return err
}

// Close is that of backend.Volume.
func (v *Volume) Close() error {
	v.blocks.http.CloseIdleConnections()
	return v.client.Close()
}

// cleanPath is backend.Clean for a volume whose names are UTF-8.
func cleanPath(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", backend.PathError("open", strconv.Quote(name), backend.ErrName)
	}
	return backend.Clean(name)
}

// Stat is that of backend.Volume. There is no call for it: the list of a file is the file.
func (v *Volume) Stat(ctx context.Context, name string) (backend.Entry, error) {
	clean, err := cleanPath(name)
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
	clean, err := cleanPath(name)
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

func (v *Volume) list(ctx context.Context, clean string, recursive bool, most uint32) ([]backend.Entry, error) {
	listed, err := v.client.ListFiles(ctx, v.remote, clean, recursive, most)
	if err != nil {
		return nil, err
	}
	entries := make([]backend.Entry, len(listed))
	for i, entry := range listed {
		if entries[i], err = entryOf(entry); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

var entryTypes = map[api.EntryType]backend.Type{
	api.OtherEntry: backend.Other, api.FileEntry: backend.File, api.DirectoryEntry: backend.Directory, api.SymlinkEntry: backend.Symlink,
}

func entryOf(entry api.Entry) (backend.Entry, error) {
	clean, err := cleanPath(entry.Path)
	converted := backend.Entry{Path: clean, Type: entryTypes[entry.Type], Modified: entry.Modified}
	if converted.Type == backend.File {
		converted.Size = entry.Size
	}
	return converted, err
}

// Remove is that of backend.Volume.
func (v *Volume) Remove(ctx context.Context, name string, recursive bool) error {
	clean, err := cleanPath(name)
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
	lost, err := v.client.RemoveFile(ctx, v.remote, clean, recursive)
	if errors.Is(err, api.ErrNotFound) && lost {
		return nil // the try whose answer was lost has removed it
	}
	return pathError("remove", name, err)
}

// pathError is an error of a call about a path, in the words of backend.
func pathError(op, name string, err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		return backend.PathError(op, name, inner.Err)
	}
	refused := api.RefusalOf(err)
	switch {
	case refused == nil:
		return err
	case errors.Is(err, api.ErrNotFound):
		return backend.PathError(op, name, fs.ErrNotExist)
	case errors.Is(err, api.ErrExists):
		return backend.PathError(op, name, fs.ErrExist)
	default:
		return backend.PathError(op, name, refused)
	}
}
