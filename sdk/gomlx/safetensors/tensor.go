// Package safetensors reads and writes the header of the safetensors format
// (https://github.com/huggingface/safetensors): a little-endian u64 with the length of a JSON header, the header, and
// the tensors' bytes, little-endian and row-major, one behind the other.
//
// Sizes follow from the shapes, so a file is streamed: the header first, then each tensor's bytes in the same order.
package safetensors

import (
	"fmt"
	"math"
	"math/bits"
)

// Tensor describes one tensor of a file.
type Tensor struct {
	Name  string
	DType string  // such as "F32"
	Shape []int64 // dimensions; empty for a scalar
}

// elementSizes are the bytes of one element of each type.
var elementSizes = map[string]int{
	"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}

// Size is the number of bytes that the tensor takes. It fails for a type that is not known and for a shape that no
// memory could hold.
func (t Tensor) Size() (int64, error) {
	element, ok := elementSizes[t.DType]
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
	return int64(size), nil
}
