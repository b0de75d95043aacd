package modal

import (
	"crypto/sha256"
	"io"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/mtt-project/mtt/host/internal/backend"
)

// chunk is how much of a block is read at once to be hashed: it is in the processor's cache then.
const chunk = 256 << 10

var (
	chunks = sync.Pool{New: func() any { return new([chunk]byte) }}
	zeros  [chunk]byte
)

// digest reads a block of a file for its sums.
func (f *file) digest(i int) (block, error) {
	at := int64(i) * blockSize
	b, err := digest(f.content, at, min(f.Size, at+blockSize))
	if err == io.EOF {
		err = backend.PathError("put", f.Path, backend.ErrChanged)
	}
	return b, err
}

// digest reads a part of a content, no more than a block, for its sums. io.EOF: the content ends before.
func digest(content io.ReaderAt, at, end int64) (b block, err error) {
	sum, check := sha256.New(), xxh3.New()
	hash := func(part []byte) {
		sum.Write(part)
		check.Write(part)
		b.length += int64(len(part))
	}
	buffer := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buffer)
	held := int64(0) // zeros, which count if something else follows
	for at < end {
		part := buffer[:min(chunk, end-at)]
		if n, err := content.ReadAt(part, at); n < len(part) {
			return block{}, err
		}
		at += int64(len(part))
		kept := trim(part)
		if len(kept) > 0 {
			for ; held > 0; held -= min(held, chunk) {
				hash(zeros[:min(held, chunk)])
			}
			hash(kept)
		}
		held += int64(len(part) - len(kept))
	}
	sum.Sum(b.sum[:0])
	b.check = check.Sum128()
	return b, nil
}

// body is a block that is sent.
type body struct {
	content io.ReaderAt
	at      int64
	length  int64 // without the zeros at its end
	check   xxh3.Uint128
	changed atomic.Bool // the content is another than it was
}

// reader reads the block from its beginning.
func (b *body) reader() io.Reader {
	return &bodyReader{body: b, rest: io.NewSectionReader(b.content, b.at, b.length), hash: xxh3.New()}
}

type bodyReader struct {
	body *body
	rest *io.SectionReader
	hash *xxh3.Hasher
	read int64
}

func (r *bodyReader) Read(p []byte) (int, error) {
	n, err := r.rest.Read(p)
	r.hash.Write(p[:n])
	r.read += int64(n)
	whole := r.read == r.body.length
	if whole && r.hash.Sum128() != r.body.check || !whole && err == io.EOF {
		r.body.changed.Store(true)
		return n, backend.ErrChanged
	}
	return n, err
}
