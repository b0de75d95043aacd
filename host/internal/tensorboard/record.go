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
	"os"
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

// readRecords gives fn the data of each whole record among the first limit bytes of the file; a negative limit means
// all. The data is valid until fn returns. A *DamageError comes after the records before the damage.
func readRecords(path string, limit int64, fn func(data []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if limit < 0 {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		limit = info.Size()
	}
	reader := newRecordReader(file)
	for reader.offset < limit {
		offset := reader.offset
		data, err := reader.next(limit)
		if err != nil {
			return &DamageError{File: path, Offset: offset, Cause: err}
		}
		if err := fn(data); err != nil {
			return &DamageError{File: path, Offset: offset, Cause: err}
		}
	}
	return nil
}

// skipRecords returns the place n records behind offset, which is the beginning of one.
func skipRecords(path string, offset, n uint64) (uint64, error) {
	if n == 0 {
		return offset, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	reader := newRecordReader(io.NewSectionReader(file, int64(offset), math.MaxInt64-int64(offset)))
	for range n {
		if _, err := reader.next(math.MaxInt64); err != nil {
			return 0, &DamageError{File: path, Offset: int64(offset) + reader.offset, Cause: err}
		}
	}
	return offset + uint64(reader.offset), nil
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
