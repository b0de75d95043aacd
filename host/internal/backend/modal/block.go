package modal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
)

const (
	// blockSize is the unit in which the files of a volume are hashed and transferred. It is part of the protocol:
	// BLOCK_SIZE in _utils/blob_utils.py of Modal's Python client.
	blockSize = 8 << 20
	// inMotion bounds what moves at once, and with it what is held in memory of blocks that come: eight whole ones are
	// enough to fill the line while one is written.
	inMotion = 8 * blockSize
	// connections bounds how many small blocks move at once.
	connections = 64
	// blockTime is how long one try to move a block may take: over a line of 50 kB/s, a whole one takes three minutes.
	blockTime = 5 * time.Minute
)

// buffers are of blockSize.
var buffers = sync.Pool{New: func() any { return new([blockSize]byte) }}

// blocks is how the blocks of a volume's files move, which go by HTTP to and from addresses that calls give.
type blocks struct {
	client    *api.Client // for its patience
	http      *http.Client
	budget    *semaphore.Weighted // bytes in motion
	noDigests atomic.Bool         // the store does not tell digests by themselves
}

func newBlocks(client *api.Client) *blocks {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = connections, connections, connections
	transport.DisableCompression = true // what a block has is compared by its digest
	transport.WriteBufferSize, transport.ReadBufferSize = 64<<10, 64<<10
	return &blocks{client: client, http: &http.Client{Transport: transport}, budget: semaphore.NewWeighted(inMotion)}
}

// trim cuts the zero bytes at the end of a block, which are neither hashed nor transferred.
func trim(block []byte) []byte { return bytes.TrimRight(block, "\x00") }

// get fetches what an address means, and fills up with zeros what did not come of it.
func (b *blocks) get(ctx context.Context, address string, to []byte) error {
	response, cancel, err := b.send(ctx, http.MethodGet, address, nil, "")
	if err != nil {
		return err
	}
	defer cancel()
	defer response.Body.Close()
	n := 0
	for err == nil && n < len(to) {
		var more int
		more, err = response.Body.Read(to[n:])
		n += more
	}
	if err == nil {
		if extra, _ := response.Body.Read(make([]byte, 1)); extra > 0 {
			return fmt.Errorf("a block has more than the %d bytes that were asked for", len(to))
		}
	} else if err != io.EOF { // a body that was cut is io.ErrUnexpectedEOF
		return err
	}
	if err := checkDigest(response.Header.Get("Repr-Digest"), to[:n]); err != nil {
		return err
	}
	clear(to[n:])
	return nil
}

// digest returns the SHA-256 that the store tells of what an address means, for which it sends a byte of it.
// errors.ErrUnsupported: it tells none.
func (b *blocks) digest(ctx context.Context, address string) ([]byte, error) {
	response, cancel, err := b.send(ctx, http.MethodGet, address, nil, "bytes=0-0")
	if err != nil {
		return nil, err
	}
	defer cancel()
	defer response.Body.Close() // if it sends more, it is not listened to
	_, _ = io.CopyN(io.Discard, response.Body, 2)
	if sum := reprDigest(response.Header.Get("Repr-Digest")); sum != nil {
		return sum, nil
	}
	return nil, errors.ErrUnsupported
}

// checkDigest compares with the SHA-256 of a Repr-Digest header, if it has one.
func checkDigest(header string, body []byte) error {
	if want := reprDigest(header); want != nil {
		if got := sha256.Sum256(body); !bytes.Equal(got[:], want) {
			return errors.New("a block has not the content that its digest says")
		}
	}
	return nil
}

// reprDigest is the SHA-256 of a Repr-Digest header (RFC 9530), which is of the whole, whatever part of it is sent; nil for
// none.
func reprDigest(header string) []byte {
	for member := range strings.SplitSeq(header, ",") {
		member, _, _ = strings.Cut(strings.TrimSpace(member), ";")
		encoded, ok := strings.CutPrefix(member, "sha-256=:")
		sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, ":"))
		if ok && err == nil && len(sum) == sha256.Size {
			return sum
		}
	}
	return nil
}

// put transfers a block, and returns what proves it.
func (b *blocks) put(ctx context.Context, address string, body *body) (proof []byte, err error) {
	response, cancel, err := b.send(ctx, http.MethodPut, address, body, "")
	if err != nil {
		return nil, err
	}
	defer cancel()
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, 64<<10))
}

// send makes a request, of which the answer may be cut to a part, and waits while the store limits requests. Errors leave
// the address out: whoever has it needs no token.
func (b *blocks) send(ctx context.Context, method, address string, body *body, part string) (*http.Response, context.CancelFunc, error) {
	turn := b.client.NewTurn()
	for {
		response, cancel, err := b.sendOnce(ctx, method, address, body, part)
		limit := api.LimitOf(err)
		if limit == nil {
			turn.Done(err)
			return response, cancel, err
		}
		if err := turn.Wait(ctx, limit); err != nil {
			return nil, nil, err
		}
	}
}

func (b *blocks) sendOnce(ctx context.Context, method, address string, body *body, part string) (*http.Response, context.CancelFunc, error) {
	ctx, cancel := context.WithTimeout(ctx, blockTime)
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		cancel()
		return nil, nil, errors.New("an address of a block cannot be understood")
	}
	if part != "" {
		request.Header.Set("Range", part)
	}
	if body != nil {
		request.ContentLength = body.length
		request.GetBody = func() (io.ReadCloser, error) {
			if body.length == 0 {
				return http.NoBody, nil
			}
			return io.NopCloser(body.reader()), nil
		}
		request.Body, _ = request.GetBody()
	}
	response, err := b.http.Do(request)
	if err != nil {
		cancel()
		if about, ok := errors.AsType[*url.Error](err); ok {
			err = about.Err
		}
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK && (part == "" || response.StatusCode != http.StatusPartialContent) {
		_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
		response.Body.Close()
		cancel()
		if limit := api.LimitOfResponse(response); limit != nil {
			return nil, nil, limit
		}
		return nil, nil, fmt.Errorf("the store of blocks answers %s", response.Status)
	}
	return response, cancel, nil
}
