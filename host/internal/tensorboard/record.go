// Package tensorboard writes and reads TensorBoard's event files: one for each attempt of a run, laid out so that an
// open TensorBoard, with either of its loaders, shows the exact curve of a run that was killed and resumed.
//
// The formats are those of TensorFlow: a TFRecord is a u64le length, the masked CRC-32C of that, the data, and the
// masked CRC-32C of the data (tensorflow/core/lib/io/record_writer.h); the data is an Event
// (tensorflow/core/util/event.proto), of which the few fields that scalars need are encoded by hand.
package tensorboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/regular"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is TensorFlow's: a CRC of data that holds CRCs would be weak, so each is rotated and shifted.
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

const (
	headerSize = 12 // length and its CRC
	footerSize = 4  // CRC of the data
	// maxRecord is far above what we write, and keeps a damaged length from asking for all memory.
	maxRecord = 64 << 20
)

// appendRecord frames data, which encode appends, as a record.
func appendRecord(out []byte, encode func([]byte) []byte) []byte {
	start := len(out)
	out = append(out, make([]byte, headerSize)...)
	out = encode(out)
	data := out[start+headerSize:]
	binary.LittleEndian.PutUint64(out[start:], uint64(len(data)))
	binary.LittleEndian.PutUint32(out[start+8:], maskedCRC(out[start:start+8]))
	return binary.LittleEndian.AppendUint32(out, maskedCRC(data))
}

// DamageError says that an event file cannot be read from Offset on.
type DamageError struct {
	File   string
	Offset int64
	Cause  error // io.ErrUnexpectedEOF: the file ends within a record, as after a kill
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("event file %s is damaged at byte %d: %v", e.File, e.Offset, e.Cause)
}

func (e *DamageError) Unwrap() error { return e.Cause }

// readRecords gives fn the data of each whole record of the file between two places, which are the beginnings of
// records; a negative end means that of the file. The data is valid until fn returns. A *DamageError comes after the
// records before the damage, and for errors of fn, but for errEnough, which ends the reading.
func readRecords(path string, from, to int64, fn func(data []byte) error) error {
	file, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if to < 0 {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		to = info.Size()
	}
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return err
	}
	reader := newRecordReader(file)
	for from+reader.offset < to {
		offset := from + reader.offset
		data, err := reader.next(to - from)
		if err == nil {
			err = fn(data)
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return &DamageError{File: path, Offset: offset, Cause: err}
		}
	}
	return nil
}

// errEnough ends readRecords without an error.
var errEnough = errors.New("enough was read")

// skip moves the place n records on.
func (p *Place) skip(dir string, n uint64) error {
	if n == 0 {
		return nil
	}
	return readRecords(filepath.Join(dir, p.File), p.end(), math.MaxInt64, func(data []byte) error {
		record := appendRecord(nil, func(out []byte) []byte { return append(out, data...) })
		p.Bytes, p.CRC32C = p.Bytes+uint64(len(record)), crc32.Update(p.CRC32C, castagnoli, record)
		if n--; n == 0 {
			return errEnough
		}
		return nil
	})
}

var (
	errLength   = errors.New("the length of a record is wrong")
	errChecksum = errors.New("the checksum of a record is wrong")
)

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
