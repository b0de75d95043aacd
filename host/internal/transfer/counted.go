package transfer

import (
	"io"
	"sync/atomic"
)

// counted counts what is written.
type counted struct {
	to io.Writer
	n  *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n.Add(int64(n))
	return n, err
}
