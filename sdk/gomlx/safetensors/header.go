package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// metadataKey is the one key of the header that names no tensor.
const metadataKey = "__metadata__"

// prefixSize is the length of the number before the header.
const prefixSize = 8

// alignment of the first tensor in a file, for readers that map it into memory.
const alignment = 8

// entry is a tensor in the JSON header. The offsets count from the end of the header.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// EncodeHeader returns the beginning of a file with these tensors, in this order, which must be that of their names.
// The same tensors and metadata give the same bytes.
func EncodeHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	header, _, err := encodeHeader(tensors, metadata)
	return header, err
}

func encodeHeader(tensors []Tensor, metadata map[string]string) (header []byte, dataSize int64, err error) {
	fields := make(map[string]any, len(tensors)+1)
	if metadata != nil {
		fields[metadataKey] = metadata
	}
	for i, tensor := range tensors {
		if tensor.Name == "" || tensor.Name == metadataKey || !utf8.ValidString(tensor.Name) {
			return nil, 0, fmt.Errorf("a tensor cannot be called %q", tensor.Name)
		}
		if i > 0 && tensors[i-1].Name >= tensor.Name {
			return nil, 0, fmt.Errorf("tensor %q does not come after %q", tensor.Name, tensors[i-1].Name)
		}
		size, err := tensor.Size()
		if err != nil {
			return nil, 0, err
		}
		if dataSize > math.MaxInt64-size {
			return nil, 0, errors.New("the tensors are larger than a file can be")
		}
		fields[tensor.Name] = entry{tensor.DType, append([]int64{}, tensor.Shape...), [2]int64{dataSize, dataSize + size}}
		dataSize += size
	}
	encoded, err := json.Marshal(fields) // sorts the keys
	if err != nil {
		return nil, 0, err
	}
	padding := (alignment - len(encoded)%alignment) % alignment
	header = binary.LittleEndian.AppendUint64(nil, uint64(len(encoded)+padding))
	header = append(header, encoded...)
	return append(header, strings.Repeat(" ", padding)...), dataSize, nil
}
