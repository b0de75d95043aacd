package safetensors

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func file(header string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
}

func TestHeaderRoundTrip(t *testing.T) {
	tensors := []Tensor{{"a", "F32", []int64{2, 3}}, {"b/c", "I64", nil}, {"d", "BOOL", []int64{0, 4}}}
	header, err := EncodeHeader(tensors, map[string]string{"format": "x", "a": "ä"})
	if err != nil {
		t.Fatal(err)
	}
	if len(header)%8 != 0 {
		t.Errorf("the header has %d bytes, so that the tensors are not aligned", len(header))
	}
	rest := bytes.NewReader(append(header, "data"...)) // the first 4 bytes of 24 + 8 + 0
	read, metadata, err := ReadHeader(rest, int64(len(header)+24+8))
	if err != nil || len(read) != 3 || read[0].Name != "a" || read[1].DType != "I64" || len(read[2].Shape) != 2 || metadata["a"] != "ä" {
		t.Errorf("got %v, %v, %v", read, metadata, err)
	}
	if rest.Len() != 4 {
		t.Errorf("%d bytes are left, want the 4 of the data", rest.Len())
	}
	if size, err := tensors[0].Size(); size != 24 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
}

func TestWrongHeadersAreRefused(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for name, content := range map[string][]byte{
		"short":         []byte("abc"),
		"too long":      binary.LittleEndian.AppendUint64(nil, MaxHeader+1),
		"cut":           file(`{"__metadata__":null}`)[:12],
		"no JSON":       file("hello   "),
		"gap":           file(`{"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`),
		"overlap":       file(`{"__metadata__":{},` + a + `,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`),
		"twice":         file(`{"__metadata__":{},` + a + `,` + a + `}`),
		"wrong size":    file(`{"__metadata__":{},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`),
		"unknown type":  file(`{"__metadata__":{},"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}`),
		"negative":      file(`{"__metadata__":{},"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`),
		"huge":          file(`{"__metadata__":{},"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`),
		"other order":   file(`{"a":{"shape":[1],"dtype":"F32","data_offsets":[0,4]},"__metadata__":{}}`),
		"no such field": file(`{"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`),
	} {
		if _, _, err := ReadHeader(bytes.NewReader(content), int64(len(content))); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
	if _, err := EncodeHeader([]Tensor{{"b", "F32", nil}, {"a", "F32", nil}}, nil); err == nil || !strings.Contains(err.Error(), "after") {
		t.Errorf("tensors out of order: %v", err)
	}
}

func FuzzReadHeader(f *testing.F) {
	header, err := EncodeHeader([]Tensor{{"a", "F32", []int64{2}}, {"b", "U8", nil}}, map[string]string{"format": "x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	f.Add(file(`{"__metadata__":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		tensors, metadata, err := ReadHeader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		again, err := EncodeHeader(tensors, metadata)
		if err != nil || !bytes.HasPrefix(content, again) {
			t.Errorf("what was read is not what is written: %v", err)
		}
	})
}
