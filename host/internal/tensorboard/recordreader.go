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
	buffer []byte
}

func newRecordReader(in io.Reader) *recordReader {
	return &recordReader{in: bufio.NewReaderSize(in, 256<<10)}
}

// next returns the data of the next record, which must end before limit. The data is valid until the next call.
func (r *recordReader) next(limit int64) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.in, header[:]); err != nil {
		return nil, unexpectedEOF(err)
	}
	length := binary.LittleEndian.Uint64(header[:8])
	if binary.LittleEndian.Uint32(header[8:]) != maskedCRC(header[:8]) {
		return nil, errLength
	}
	if length > maxRecord {
		return nil, errLength
	}
	size := int64(length)
	if r.offset+headerSize+size+footerSize > limit {
		return nil, io.ErrUnexpectedEOF
	}
	if int64(cap(r.buffer)) < size+footerSize {
		r.buffer = make([]byte, size+footerSize)
	}
	record := r.buffer[:size+footerSize]
	if _, err := io.ReadFull(r.in, record); err != nil {
		return nil, unexpectedEOF(err)
	}
	data := record[:size]
	if binary.LittleEndian.Uint32(record[size:]) != maskedCRC(data) {
		return nil, errChecksum
	}
	r.offset += headerSize + size + footerSize
	return data, nil
}
