// Package safetensors reads and writes the header of the safetensors format
// (https://github.com/huggingface/safetensors): a little-endian u64 with the length of a JSON header, the header, and
// the tensors' bytes, little-endian and row-major, one behind the other.
//
// Sizes follow from the shapes, so a file is streamed: the header first, then each tensor's bytes in the same order.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// MaxHeader is the longest header that is read, in bytes: the reference implementation's limit.
const MaxHeader = 100 << 20

// Tensor describes one tensor of a file.
type Tensor struct {
	Name  string
	DType string  // such as "F32"; see Sizes
	Shape []int64 // dimensions; empty for a scalar
}

// Sizes are the bytes of one element of each type.
var Sizes = map[string]int{
	"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}

// Size is the number of bytes that the tensor takes.
func (t Tensor) Size() (uint64, error) {
	element, ok := Sizes[t.DType]
	if !ok {
		return 0, fmt.Errorf("tensor %q has the unknown type %q", t.Name, t.DType)
	}
	size := uint64(element)
	for _, dimension := range t.Shape {
		high, low := bits.Mul64(size, uint64(dimension))
		if dimension < 0 || high != 0 || low > math.MaxInt64 {
			return 0, fmt.Errorf("tensor %q has the impossible shape %v", t.Name, t.Shape)
		}
		size = low
	}
	return size, nil
}

const metadataKey = "__metadata__"

type entry struct {
	DType   string    `json:"dtype"`
	Shape   []int64   `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// EncodeHeader returns the beginning of a file with these tensors, in this order, which must be that of their names.
func EncodeHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	header := map[string]any{metadataKey: metadata}
	var offset uint64
	for i, tensor := range tensors {
		if i > 0 && tensors[i-1].Name >= tensor.Name {
			return nil, fmt.Errorf("tensor %q does not come after %q", tensor.Name, tensors[i-1].Name)
		}
		if tensor.Name == "" || tensor.Name == metadataKey {
			return nil, fmt.Errorf("a tensor cannot be called %q", tensor.Name)
		}
		size, err := tensor.Size()
		if err != nil {
			return nil, err
		}
		if offset+size < offset {
			return nil, errors.New("the tensors are larger than a file can be")
		}
		header[tensor.Name] = entry{tensor.DType, append([]int64{}, tensor.Shape...), [2]uint64{offset, offset + size}}
		offset += size
	}
	encoded, err := json.Marshal(header) // sorts the keys
	if err != nil {
		return nil, err
	}
	padding := (8 - len(encoded)%8) % 8 // so that the tensors begin aligned
	encoded = append(encoded, strings.Repeat(" ", padding)...)
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(encoded))), encoded...), nil
}

// ReadHeader reads the beginning of a file and leaves r at the first tensor's bytes. It takes what EncodeHeader writes
// and nothing else, to the byte: no tensor twice, no gap, no overlap, no other order.
func ReadHeader(r io.Reader) (tensors []Tensor, metadata map[string]string, err error) {
	var prefix [8]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, nil, fmt.Errorf("the file is no safetensors: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > MaxHeader {
		return nil, nil, fmt.Errorf("the file is no safetensors: its header has %d bytes, and at most %d are allowed", length, MaxHeader)
	}
	var raw bytes.Buffer // grows with what is there, and not with what the prefix says
	if n, err := io.CopyN(&raw, r, int64(length)); err != nil {
		return nil, nil, fmt.Errorf("the file ends after %d of %d bytes of its header: %w", n, length, io.ErrUnexpectedEOF)
	}
	tensors, metadata, err = parse(raw.Bytes())
	if err != nil {
		return nil, nil, fmt.Errorf("the header is not valid: %w", err)
	}
	canonical, err := EncodeHeader(tensors, metadata)
	if err != nil {
		return nil, nil, fmt.Errorf("the header is not valid: %w", err)
	}
	if !bytes.Equal(canonical[len(prefix):], raw.Bytes()) {
		return nil, nil, errors.New("the header is not in the form that mtt writes: a tensor twice, a gap, an overlap or another order")
	}
	return tensors, metadata, nil
}

func parse(raw []byte) (tensors []Tensor, metadata map[string]string, err error) {
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw, &header); err != nil {
		return nil, nil, err
	}
	for name, value := range header {
		if name == metadataKey {
			if err := json.Unmarshal(value, &metadata); err != nil {
				return nil, nil, err
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(value, &e); err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, Tensor{Name: name, DType: e.DType, Shape: e.Shape})
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return tensors, metadata, nil
}
