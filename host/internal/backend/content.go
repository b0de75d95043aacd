package backend

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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

// Has says whether a file of a volume has a content of its size. moved, if it is not nil, is told how many bytes were moved
// for that.
func Has(ctx context.Context, volume Volume, entry Entry, content io.ReaderAt, moved func(int64)) (bool, error) {
	same, err := volume.Compare(ctx, entry, entry.Size, content)
	if errors.Is(err, errors.ErrUnsupported) {
		return CompareRead(ctx, volume, entry, entry.Size, content, moved)
	}
	return same, err
}

// CompareRead is Volume.Compare by reading what the file has.
func CompareRead(ctx context.Context, volume Volume, entry Entry, length int64, content io.ReaderAt, moved func(int64)) (bool, error) {
	same := &comparer{with: bufio.NewReaderSize(io.NewSectionReader(content, 0, length), 1<<16), moved: moved}
	err := volume.Read(ctx, entry, 0, length, same)
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
	moved   func(int64) // nil: nobody counts
	differs bool
	buffer  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buffer) < len(p) {
		c.buffer = make([]byte, len(p))
	}
	if c.moved != nil {
		c.moved(int64(len(p)))
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
