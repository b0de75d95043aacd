package gomlx

import "github.com/gomlx/compute/dtypes"

// safetensorsTypes are the safetensors names of the types that a variable can have.
var safetensorsTypes = map[dtypes.DType]string{
	dtypes.Bool: "BOOL", dtypes.Uint8: "U8", dtypes.Int8: "I8", dtypes.Uint16: "U16", dtypes.Int16: "I16",
	dtypes.Uint32: "U32", dtypes.Int32: "I32", dtypes.Uint64: "U64", dtypes.Int64: "I64",
	dtypes.Float16: "F16", dtypes.BFloat16: "BF16", dtypes.Float32: "F32", dtypes.Float64: "F64",
}

func dtypeOf(name string) (dtypes.DType, bool) {
	for dtype, known := range safetensorsTypes {
		if known == name {
			return dtype, true
		}
	}
	return dtypes.InvalidDType, false
}
