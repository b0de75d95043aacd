package modal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// window is how much of a file is asked for at once: addresses of blocks expire, so a large file must not have all of
// its own at the beginning.
const window = 32 * blockSize

// writeSize is how much is written at once. For a write of a whole block, Linux finds memory in large pieces, and on a
// virtual machine those may never have been used before: 512 MiB took 1.5 s instead of 0.5 s.
const writeSize = 512 << 10

// Read is that of backend.Volume.
func (v *Volume) Read(ctx context.Context, entry backend.Entry, from, length int64, to io.Writer) error {
	clean, err := cleanPath(entry.Path)
	if err != nil {
		return err
	}
	if entry.Type != backend.File {
		return backend.PathError("read", entry.Path, backend.NotFile(entry.Type))
	}
	r := &reading{volume: v, path: clean, size: entry.Size}
	if entry.Whole {
		return r.whole(ctx, to)
	}
	end := min(entry.Size, from+length)
	for at := from; at < end; {
		next := min(end, at-at%window+window)
		if err := r.window(ctx, at, next, to); err != nil {
			return err
		}
		at = next
	}
	return r.still(ctx, entry)
}

// whole writes the file as it is now, with one call for the addresses of all its blocks: those of a later call could be of
// another version.
func (r *reading) whole(ctx context.Context, to io.Writer) error {
	answer, err := r.volume.client.FileRange(ctx, r.volume.remote, r.path, 0, 0)
	if err != nil {
		return pathError("read", r.path, err)
	}
	if r.size, r.exact = answer.Size, true; r.size == 0 {
		return nil
	}
	if err := r.check(answer, 0, r.size); err != nil {
		return err
	}
	return r.pieces(ctx, answer.URLs, 0, r.size, to)
}

// still looks whether the file is the one that the entry is about, or has grown: what was asked for at different times may
// be of different files.
func (r *reading) still(ctx context.Context, entry backend.Entry) error {
	if r.asked.Load() < 2 {
		return nil
	}
	now, err := r.volume.Stat(ctx, r.path)
	if err == nil && (now.Type != backend.File || now.Size < entry.Size || now.Size == entry.Size && !now.Modified.Equal(entry.Modified)) {
		err = backend.PathError("read", entry.Path, backend.ErrChanged)
	}
	return err
}

// reading is one reading of one file.
type reading struct {
	volume *Volume
	path   string
	size   int64 // that it had when it was listed
	exact  bool  // one that has grown is another
	asked  atomic.Int64
}

// piece is the part of one block that a range covers.
type piece struct {
	at      int64
	address string
	content []byte
	buffer  *[blockSize]byte
	done    chan struct{}
	err     error
}

// window writes a range of the file.
func (r *reading) window(ctx context.Context, from, to int64, out io.Writer) error {
	addresses, err := r.addresses(ctx, from, to)
	if err != nil {
		return err
	}
	return r.pieces(ctx, addresses, from, to, out)
}

// pieces writes a range of the file, of which each block has an address. Its pieces come in parallel and are written in order.
func (r *reading) pieces(ctx context.Context, addresses []string, from, to int64, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *piece, len(addresses))
	budget := r.volume.blocks.budget
	go func() {
		defer close(queue)
		for _, address := range addresses {
			next := min(to, from-from%blockSize+blockSize)
			// In the order of the file, so that the piece that is to be written next is never the one that waits.
			if budget.Acquire(ctx, next-from) != nil {
				return
			}
			p := &piece{at: from, address: address, buffer: buffers.Get().(*[blockSize]byte), done: make(chan struct{})}
			p.content = p.buffer[:next-from]
			go func() {
				defer close(p.done)
				p.err = r.fetch(ctx, p)
			}()
			queue <- p
			from = next
		}
	}()
	for p := range queue {
		<-p.done
		if err == nil {
			err = p.err
		}
		for rest := p.content; len(rest) > 0 && err == nil; {
			n := min(len(rest), writeSize)
			_, err = out.Write(rest[:n])
			rest = rest[n:]
		}
		if err != nil {
			cancel()
		}
		buffers.Put(p.buffer)
		budget.Release(int64(len(p.content)))
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// addresses asks for those of the pieces of a range: one for each block that it touches.
func (r *reading) addresses(ctx context.Context, from, to int64) ([]string, error) {
	r.asked.Add(1)
	answer, err := r.volume.client.FileRange(ctx, r.volume.remote, r.path, from, to-from)
	if err != nil {
		return nil, pathError("read", r.path, err)
	}
	return answer.URLs, r.check(answer, from, to)
}

// check refuses an answer that is not about a range of the file that is read.
func (r *reading) check(answer api.Range, from, to int64) error {
	if answer.Size < r.size || r.exact && answer.Size != r.size {
		return backend.PathError("read", r.path, backend.ErrChanged)
	}
	blocks := (to+blockSize-1)/blockSize - from/blockSize
	if answer.Start != from || answer.Length != to-from || int64(len(answer.URLs)) != blocks {
		return exit.Errorf(exit.Unavailable, "Modal answers VolumeGetFile2 for %s in another way than this version of mtt knows: %d bytes from %d on in %d blocks, asked for %d from %d on",
			r.path, answer.Length, answer.Start, len(answer.URLs), to-from, from).
			Hint("Use a newer version of mtt.")
	}
	return nil
}

// fetch fetches a piece.
func (r *reading) fetch(ctx context.Context, p *piece) error {
	return r.insist(ctx, api.Tries, p.address, p.at, int64(len(p.content)), func(address string) error {
		return r.volume.blocks.get(ctx, address, p.content)
	})
}

// insist does something with the address of a piece. One that does not serve is taken for expired, and asked for anew.
func (r *reading) insist(ctx context.Context, most int, address string, at, length int64, do func(address string) error) error {
	for tried := 0; ; tried++ {
		err := do(address)
		if err == nil || errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if tried+1 == most {
			return blockError(r.path, err)
		}
		if err := api.Pause(ctx, tried); err != nil {
			return err
		}
		addresses, err := r.addresses(ctx, at, at+length)
		if err != nil {
			return err
		}
		address = addresses[0]
	}
}

// blockError is what is left after the last try to move a block.
func blockError(path string, err error) error {
	return exit.Errorf(exit.Unavailable, "%w", fmt.Errorf("cannot move a block of %s: %w", path, err)).
		Hint("Look at the network and at https://status.modal.com, and repeat the command: it goes on.")
}
