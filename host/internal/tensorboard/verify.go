package tensorboard

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// Verify reads all that a checkpoint keeps: the beginnings of some event files. It returns what is missing or damaged, nil
// if the curves are whole. Readers do not see what is behind damage in the same file.
//
// It takes a hundredth of a second for a million points.
func Verify(dir string, kept []Place) error {
	var bad error
	for _, part := range kept {
		bad = errors.Join(bad, part.verify(dir))
	}
	return bad
}

// verify looks at each record only where that tells more than the checksum of all.
func (p Place) verify(dir string) error {
	if p.CRC32C != 0 {
		crc, err := checksum(filepath.Join(dir, p.File), p.end())
		if err != nil || crc == p.CRC32C {
			return err
		}
	}
	err := readRecords(filepath.Join(dir, p.File), 0, p.end(), func([]byte) error { return nil })
	if err == nil && p.CRC32C != 0 {
		return fmt.Errorf("event file %s is not what was written", filepath.Join(dir, p.File))
	}
	return err
}

// checksum returns that of the first bytes of a file.
func checksum(path string, bytes int64) (crc uint32, err error) {
	file, err := regular.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for buffer, rest := make([]byte, min(bytes, 1<<20)), bytes; rest > 0; {
		n, err := file.Read(buffer[:min(rest, int64(len(buffer)))])
		if errors.Is(err, io.EOF) {
			return crc, nil // which is not that of more bytes
		}
		if err != nil {
			return 0, err
		}
		crc, rest = crc32.Update(crc, castagnoli, buffer[:n]), rest-int64(n)
	}
	return crc, nil
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*DamageError](err)
	return ok
}
