package backend

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"io/fs"
)

// Distinct refuses files of which two have the same path, or a path that leaves the volume.
func Distinct(files []Source) error {
	seen := make(map[string]bool, len(files))
	for _, file := range files {
		clean, err := Clean(file.Path)
		if err != nil {
			return err
		}
		if seen[clean] {
			return PathError("put", file.Path, fs.ErrExist)
		}
		seen[clean] = true
	}
	return nil
}

// NotFile is why an entry of that type cannot be read.
func NotFile(t Type) error {
	if t == Directory {
		return ErrIsDirectory
	}
	return ErrNotFile
}

// Has says whether a file of a volume has the content that a reader gives.
func Has(ctx context.Context, volume Volume, entry Entry, content io.Reader) (bool, error) {
	same := &comparer{with: bufio.NewReaderSize(content, 1<<16)}
	err := volume.Read(ctx, entry, 0, entry.Size, same)
	if same.differs {
		return false, nil
	}
	return err == nil, err
}

// SameContent says whether two readers have the same bytes.
func SameContent(a, b io.Reader) (bool, error) {
	same := &comparer{with: bufio.NewReaderSize(b, 1<<16)}
	if _, err := io.Copy(same, a); err != nil {
		if same.differs {
			return false, nil
		}
		return false, err
	}
	_, err := same.with.ReadByte()
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// comparer is a writer that fails at the first byte that differs.
type comparer struct {
	with    *bufio.Reader
	differs bool
	buffer  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buffer) < len(p) {
		c.buffer = make([]byte, len(p))
	}
	n, err := io.ReadFull(c.with, c.buffer[:len(p)])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	if !bytes.Equal(c.buffer[:n], p) {
		c.differs = true
		return 0, io.ErrNoProgress
	}
	return n, nil
}
