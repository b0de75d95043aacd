package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxHeader is the longest header that is read, in bytes. It is the limit of the format's reference implementation,
// and far above what the variables of any model need.
const MaxHeader = 100_000_000

// ReadHeader reads the beginning of a file of size bytes, and leaves r at the first tensor's. It takes what EncodeHeader
// writes and nothing else, to the byte: no tensor twice, no gap, no overlap, no other order, no unknown type; and the
// tensors must end where the file does. So nothing needs to be allocated for a tensor that the file does not have.
func ReadHeader(r io.Reader, size int64) (tensors []Tensor, metadata map[string]string, err error) {
	raw, err := readRaw(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("this is no safetensors file: %w", err)
	}
	tensors, metadata, err = parse(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("the safetensors header is not valid: %w", err)
	}
	canonical, dataSize, err := encodeHeader(tensors, metadata)
	if err != nil {
		return nil, nil, fmt.Errorf("the safetensors header is not valid: %w", err)
	}
	if !bytes.Equal(canonical[prefixSize:], raw) {
		return nil, nil, errors.New("the safetensors header is not in the form that mtt writes: a tensor twice, a gap, an overlap, or another order")
	}
	if has := size - int64(len(canonical)); has != dataSize {
		return nil, nil, fmt.Errorf("the safetensors header describes %d bytes of tensors, and the file has %d", dataSize, has)
	}
	return tensors, metadata, nil
}

// readRaw reads the JSON of the header, with its padding.
func readRaw(r io.Reader, size int64) ([]byte, error) {
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > MaxHeader || int64(length) > size-prefixSize {
		return nil, fmt.Errorf("it has %d bytes, and its header would have %d (at most %d are read)", size, length, MaxHeader)
	}
	raw := make([]byte, length)
	_, err := io.ReadFull(r, raw)
	return raw, err
}

// parse is lenient: what it lets pass, the comparison with the canonical form does not.
func parse(raw []byte) (tensors []Tensor, metadata map[string]string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, nil, err
	}
	for name, value := range fields {
		if name == metadataKey {
			if err := json.Unmarshal(value, &metadata); err != nil {
				return nil, nil, err
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(value, &e); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, Tensor{Name: name, DType: e.DType, Shape: e.Shape})
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return tensors, metadata, nil
}
