package modal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
)

const (
	// batchFiles and batchBlocks bound one call: many small files cost few calls, and a message is far from the 100 MB
	// that it may have.
	batchFiles  = 256
	batchBlocks = 1 << 16
	// batches are in work at once, so that one is hashed while another is transferred.
	batches = 2
)

// Put is that of backend.Volume. Blocks that any volume has do not travel; nor do those that a killed Put has
// transferred, since what proves that is kept in the cache directory until the files are made.
func (v *Volume) Put(ctx context.Context, files []backend.Source, options backend.PutOptions) error {
	if v.remote.Version == 1 {
		return exit.Errorf(exit.Usage, "volume %s has version 1, which mtt does not write", v.name).
			Hint("Put files with Modal's own command line, or make a volume of version 2: modal volume create NAME --version 2")
	}
	if err := backend.Distinct(files); err != nil {
		return err
	}
	for _, file := range files {
		if _, err := cleanPath(file.Path); err != nil {
			return err
		}
	}
	kept := openJournal(v.remote.ID)
	defer kept.close()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(batches)
	for len(files) > 0 {
		n, blocks := 0, int64(0)
		for n < len(files) && n < batchFiles && (n == 0 || blocks+blocksOf(files[n].Size) <= batchBlocks) {
			blocks += blocksOf(files[n].Size)
			n++
		}
		b := &batch{volume: v, options: options, kept: kept}
		for _, source := range files[:n] {
			b.files = append(b.files, &file{Source: source})
		}
		files = files[n:]
		group.Go(func() error { return b.put(ctx) })
	}
	err := group.Wait()
	if err == nil {
		kept.remove()
	}
	return err
}

func blocksOf(size int64) int64 { return (size + blockSize - 1) / blockSize }

// batch is some files that are made by one call.
type batch struct {
	volume  *Volume
	options backend.PutOptions
	kept    *journal
	files   []*file
}

type file struct {
	backend.Source
	path    string // clean
	content backend.Content
	blocks  []block
}

type block struct {
	length int64 // without the zeros at its end
	sum    [sha256.Size]byte
	check  xxh3.Uint128 // of the same bytes, to see at a tenth of the cost whether they are still the same
	proof  []byte       // that it was transferred; empty if it was not
}

func (b *batch) put(ctx context.Context) error {
	defer func() {
		for _, f := range b.files {
			if f.content != nil {
				f.content.Close()
			}
		}
	}()
	if err := b.hash(ctx); err != nil {
		return err
	}
	most, fruitless := -1, 0
	for {
		missing, err := b.make(ctx)
		if err != nil || len(missing) == 0 {
			return err
		}
		err = b.transfer(ctx, missing)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, backend.ErrChanged):
			return err
		case most < 0 || len(missing) < most:
			most, fruitless = len(missing), 0
			continue
		case err == nil:
			err = errors.New("it is missing after it was transferred")
		}
		// What is missing is asked for anew, with new addresses, until that brings nothing for a while.
		if fruitless++; fruitless == api.Tries {
			return blockError(b.files[0].Path, err)
		}
		if err := api.Pause(ctx, fruitless-1); err != nil {
			return err
		}
	}
}

// hash reads all blocks for their SHA-256.
func (b *batch) hash(ctx context.Context) (err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range b.files {
		if f.path, err = cleanPath(f.Path); err == nil && f.path == "" {
			err = backend.PathError("put", f.Path, backend.ErrIsDirectory)
		}
		if err == nil {
			f.content, err = f.Open()
		}
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		f.blocks = make([]block, blocksOf(f.Size))
		for i := range f.blocks {
			group.Go(func() (err error) {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if f.blocks[i], err = f.digest(i); err == nil {
					f.blocks[i].proof = b.kept.proof(f.blocks[i].sum)
				}
				return err
			})
		}
	}
	return group.Wait()
}

// make asks for the files to be made. That succeeds if nothing is missing.
func (b *batch) make(ctx context.Context) (missing []api.MissingBlock, err error) {
	files := make([]api.NewFile, len(b.files))
	for i, f := range b.files {
		files[i] = api.NewFile{Path: f.path, Size: f.Size, Mode: f.Mode, Blocks: make([]api.Block, len(f.blocks))}
		for j := range f.blocks {
			files[i].Blocks[j] = api.Block{SHA256: f.blocks[j].sum, Proof: f.blocks[j].proof}
		}
	}
	missing, err = b.volume.client.PutFiles(ctx, b.volume.remote, files, b.options.Exclusive)
	if errors.Is(err, api.ErrExists) && b.options.Exclusive {
		return nil, b.there(ctx)
	}
	if err != nil {
		return nil, pathError("put", b.about(), err)
	}
	return missing, nil
}

// about is what an error of a call for all files is about.
func (b *batch) about() string {
	if len(b.files) == 1 {
		return b.files[0].Path
	}
	return fmt.Sprintf("%s and %d more", b.files[0].Path, len(b.files)-1)
}

// there forgives that files are there which have what was to be put, as after a call whose answer was lost. The others
// are not there then: files are made all together.
func (b *batch) there(ctx context.Context) error {
	for _, f := range b.files {
		entry, err := b.volume.Stat(ctx, f.path)
		if err == nil && entry.Type == backend.File && entry.Size == f.Size {
			var same bool
			if same, err = backend.Has(ctx, b.volume, entry, f.content, b.options.Moved); same {
				continue
			}
		}
		if err == nil {
			err = backend.PathError("put", f.Path, fs.ErrExist)
		}
		return err
	}
	return nil
}

// transfer moves the blocks that are missing. One that cannot be moved does not keep the others from it.
func (b *batch) transfer(ctx context.Context, missing []api.MissingBlock) error {
	places := make(map[[sha256.Size]byte][]*block, len(missing)) // a block that is in several places travels once
	var mu sync.Mutex
	var failed error
	var group errgroup.Group
	group.SetLimit(connections)
	for _, m := range missing {
		i, j := m.File, m.Block
		if i >= uint64(len(b.files)) || j >= uint64(len(b.files[i].blocks)) {
			return fmt.Errorf("block %d of file %d is said to be missing, and is none of ours", j, i)
		}
		place := &b.files[i].blocks[j]
		place.proof = nil
		places[place.sum] = append(places[place.sum], place)
		if len(places[place.sum]) > 1 {
			continue
		}
		group.Go(func() error {
			proof, err := b.move(ctx, b.files[i], int(j), m.URL)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if failed == nil || errors.Is(err, backend.ErrChanged) {
					failed = err
				}
				return nil
			}
			place.proof = proof
			return nil
		})
	}
	_ = group.Wait()
	for _, same := range places {
		for _, place := range same {
			place.proof = same[0].proof
		}
	}
	return failed
}

// move transfers one block.
func (b *batch) move(ctx context.Context, f *file, i int, address string) (proof []byte, err error) {
	body := &body{content: f.content, at: int64(i) * blockSize, length: f.blocks[i].length, check: f.blocks[i].check}
	if err := b.volume.blocks.budget.Acquire(ctx, body.length); err != nil {
		return nil, err
	}
	defer b.volume.blocks.budget.Release(body.length)
	proof, err = b.volume.blocks.put(ctx, address, body)
	if body.changed.Load() { // whatever came of it
		err = backend.PathError("put", f.Path, backend.ErrChanged)
	}
	if err != nil {
		return nil, err
	}
	if b.options.Moved != nil {
		b.options.Moved(body.length)
	}
	b.kept.add(f.blocks[i].sum, proof, body.length)
	return proof, nil
}
