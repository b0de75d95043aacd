// Package content keeps the bytes of all volumes below one directory, by their SHA-256. What was stored once is never
// changed or removed, so that an address handed out for it stays good, whatever happens to the file that it was part of.
package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Sum is the SHA-256 of some content, in hexadecimal.
type Sum string

// SumOf returns the sum of p.
func SumOf(p []byte) Sum {
	sum := sha256.Sum256(p)
	return Sum(hex.EncodeToString(sum[:]))
}

// Store is a directory with one file for each content.
type Store struct{ dir string }

// Open makes the directory if it is not there.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return &Store{dir: dir}, nil
}

func (s *Store) path(sum Sum) string { return filepath.Join(s.dir, string(sum)) }

// Has says whether the content is there.
func (s *Store) Has(sum Sum) bool {
	_, err := os.Stat(s.path(sum))
	return err == nil
}

// Put stores p and returns its sum.
func (s *Store) Put(p []byte) (Sum, error) {
	sum := SumOf(p)
	if s.Has(sum) {
		return sum, nil
	}
	return sum, s.PutTrusted(bytes.NewReader(p), sum)
}

// PutReader stores what r has, and fails if its sum is not want.
func (s *Store) PutReader(r io.Reader, want Sum) error {
	hash := sha256.New()
	return s.publishChecked(want, io.TeeReader(r, hash), func() error {
		if got := hex.EncodeToString(hash.Sum(nil)); got != string(want) {
			return fmt.Errorf("the content has SHA-256 %s, not %s", got, want)
		}
		return nil
	})
}

// PutTrusted stores what r has as the content of that sum, without looking whether it is.
func (s *Store) PutTrusted(r io.Reader, sum Sum) error {
	return s.publishChecked(sum, r, func() error { return nil })
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// publishChecked gives the content its name when all of it is there and check agrees: a reader never sees a part.
func (s *Store) publishChecked(sum Sum, r io.Reader, check func() error) error {
	f, err := os.CreateTemp(s.dir, "part-")
	if err != nil {
		return err
	}
	buffer := buffers.Get().(*[256 << 10]byte)
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, buffer[:])
	buffers.Put(buffer)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = check()
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path(sum))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Get returns the content; an error that is fs.ErrNotExist if there is none.
func (s *Store) Get(sum Sum) ([]byte, error) {
	if !isSum(sum) { // it becomes a file's name
		return nil, fmt.Errorf("%q is no SHA-256: %w", sum, fs.ErrNotExist)
	}
	return os.ReadFile(s.path(sum))
}

// Open opens the content for reading.
func (s *Store) Open(sum Sum) (*os.File, error) {
	if !isSum(sum) {
		return nil, fmt.Errorf("%q is no SHA-256: %w", sum, fs.ErrNotExist)
	}
	return os.Open(s.path(sum))
}

func isSum(sum Sum) bool {
	raw, err := hex.DecodeString(string(sum))
	return err == nil && len(raw) == sha256.Size
}
