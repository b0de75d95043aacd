package tensorboard

import (
	"bufio"
	"encoding/binary"
	"io"
)

// recordReader reads records one after the other.
type recordReader struct {
	in     *bufio.Reader
	offset int64 // of the next record
	behind int   // bytes of the last record that are still in the buffer
	large  []byte
}

// readBuffer holds most records whole, which are then not copied.
const readBuffer = 256 << 10

func newRecordReader(in io.Reader) *recordReader {
	return &recordReader{in: bufio.NewReaderSize(in, readBuffer)}
}

// next returns the data of the next record, which must end before limit. The data is valid until the next call.
func (r *recordReader) next(limit int64) ([]byte, error) {
	_, _ = r.in.Discard(r.behind) // which are in the buffer
	r.behind = 0
	header, err := r.in.Peek(headerSize)
	if err != nil {
		return nil, unexpectedEOF(err)
	}
	length := binary.LittleEndian.Uint64(header)
	if binary.LittleEndian.Uint32(header[8:]) != maskedCRC(header[:8]) || length > maxRecord {
		return nil, errLength
	}
	size := headerSize + int(length) + footerSize
	if r.offset+int64(size) > limit {
		return nil, io.ErrUnexpectedEOF
	}
	record, err := r.record(size)
	if err != nil {
		return nil, unexpectedEOF(err)
	}
	data := record[headerSize : size-footerSize]
	if binary.LittleEndian.Uint32(record[size-footerSize:]) != maskedCRC(data) {
		return nil, errChecksum
	}
	r.offset += int64(size)
	return data, nil
}

// record returns the next bytes.
func (r *recordReader) record(size int) ([]byte, error) {
	if size <= readBuffer {
		r.behind = size
		return r.in.Peek(size)
	}
	if cap(r.large) < size {
		r.large = make([]byte, size)
	}
	record := r.large[:size]
	_, err := io.ReadFull(r.in, record)
	return record, err
}
