package modal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
)

// Compare is that of backend.Volume: by the digests that blocks come with, which Modal may leave out.
func (v *Volume) Compare(ctx context.Context, entry backend.Entry, length int64, content io.ReaderAt) (bool, error) {
	clean, err := cleanPath(entry.Path)
	if err != nil {
		return false, err
	}
	if entry.Type != backend.File {
		return false, backend.PathError("read", entry.Path, backend.NotFile(entry.Type))
	}
	if v.blocks.noDigests.Load() {
		return false, errors.ErrUnsupported
	}
	r := &reading{volume: v, path: clean, size: entry.Size}
	for at := int64(0); at < length; at += window {
		if same, err := r.compare(ctx, at, min(length, at+window), content); !same || err != nil {
			return false, err
		}
	}
	err = r.still(ctx, entry)
	return err == nil, err
}

// digestTries is how often a digest is asked for, with which two seconds go by. A store that refuses to send a part of a
// block would do so for ever, so it is not asked again.
const digestTries = 6

// compare is Compare for a range that begins with a block.
func (r *reading) compare(ctx context.Context, from, to int64, content io.ReaderAt) (bool, error) {
	addresses, err := r.addresses(ctx, from, to)
	if err != nil {
		return false, err
	}
	var differs atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0)) // half of them wait for an answer
	for i, address := range addresses {
		at := from + int64(i)*blockSize
		end := min(to, at+blockSize)
		group.Go(func() error {
			if differs.Load() {
				return nil
			}
			var there []byte
			err := r.insist(ctx, digestTries, address, at, end-at, func(address string) (err error) {
				there, err = r.volume.blocks.digest(ctx, address)
				return err
			})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil && !errors.Is(err, errors.ErrUnsupported) {
				r.volume.blocks.noDigests.Store(true)
				err = errors.ErrUnsupported // whoever reads the block then asks in the plain way, and has the error if it stays
			}
			if err != nil {
				return err
			}
			here, err := digest(content, at, end)
			if err == io.EOF || err == nil && !bytes.Equal(here.sum[:], there) {
				differs.Store(true)
				return nil
			}
			return err
		})
	}
	err = group.Wait()
	return err == nil && !differs.Load(), err
}
