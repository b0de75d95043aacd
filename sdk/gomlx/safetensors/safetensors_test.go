package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestHeaderRoundTrip(t *testing.T) {
	want := []Tensor{{"a", "F32", []int64{2, 3}}, {"b/<ç>", "I64", []int64{}}, {"d", "BOOL", []int64{0, 4}}}
	for _, wantMetadata := range []map[string]string{nil, {}, {"format": "x", "a": "ä"}} {
		header, err := EncodeHeader(want, wantMetadata)
		if err != nil {
			t.Fatal(err)
		}
		if len(header)%8 != 0 {
			t.Errorf("the header has %d bytes, so that the tensors are not aligned", len(header))
		}
		content := bytes.NewReader(append(header, make([]byte, 2*3*4+8)...))
		got, metadata, err := ReadHeader(content, content.Size())
		if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(metadata, wantMetadata) {
			t.Errorf("got %v, %v, %v; want %v, %v", got, metadata, err, want, wantMetadata)
		}
		if content.Len() != 2*3*4+8 {
			t.Errorf("%d bytes are left to read, want those of the tensors", content.Len())
		}
	}
}

// TestHeaderIsWrittenAsSpecified holds the bytes to the published format.
func TestHeaderIsWrittenAsSpecified(t *testing.T) {
	got, err := EncodeHeader([]Tensor{{"a", "F32", []int64{2}}, {"b", "U8", nil}}, map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	const json = `{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`
	want := "\x88\x00\x00\x00\x00\x00\x00\x00" + json + strings.Repeat(" ", 0x88-len(json))
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// file is a file with this header, unpadded, and so many bytes of tensors.
func file(header string, data int) []byte {
	content := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	content = append(content, header...)
	content = append(content, strings.Repeat(" ", (8-len(header)%8)%8)...)
	binary.LittleEndian.PutUint64(content, uint64(len(content)-8))
	return append(content, make([]byte, data)...)
}

const a, b = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, `"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`

// wrong are files that must not be read, each with a word of the reason.
var wrong = map[string]struct {
	content []byte
	reason  string
}{
	"empty":                {nil, "EOF"},
	"short":                {[]byte("abc"), "EOF"},
	"header too long":      {binary.LittleEndian.AppendUint64(nil, MaxHeader+1), "header would have"},
	"header longer":        {file(`{`+a+`}`, 4)[:20], "header would have"},
	"length negative":      {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "header would have"},
	"no JSON":              {file("hello", 0), "not valid"},
	"null":                 {file("null", 0), "form"},
	"data cut":             {file(`{`+a+`}`, 3), "describes 4 bytes of tensors, and the file has 3"},
	"data trailing":        {file(`{`+a+`}`, 5), "describes 4 bytes of tensors, and the file has 5"},
	"gap":                  {file(`{`+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12), "form"},
	"gap at the beginning": {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "form"},
	"overlap":              {file(`{`+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "form"},
	"twice":                {file(`{`+a+`,`+a+`}`, 4), "form"},
	"metadata twice":       {file(`{"__metadata__":{},"__metadata__":{},`+a+`}`, 4), "form"},
	"metadata null":        {file(`{"__metadata__":null,`+a+`}`, 4), "form"},
	"metadata a number":    {file(`{"__metadata__":{"x":1},`+a+`}`, 4), "not valid"},
	"wrong size":           {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "form"},
	"unknown type":         {file(`{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}`, 4), `unknown type "F99"`},
	"no type":              {file(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4), "unknown type"},
	"negative dimension":   {file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "impossible shape"},
	"dimensions overflow":  {file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "impossible shape"},
	"tensors overflow": {file(`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]},`+
		`"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), "larger than a file"},
	"fraction":          {file(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4), "not valid"},
	"other field order": {file(`{"a":{"shape":[1],"dtype":"F32","data_offsets":[0,4]}}`, 4), "form"},
	"other order":       {file(`{`+b+`,`+a+`}`, 8), "form"},
	"unknown field":     {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "form"},
	"no name":           {file(`{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "cannot be called"},
	"behind the JSON":   {file(`{`+a+`}{}`, 4), "not valid"},
}

func TestWrongFilesAreRefused(t *testing.T) {
	for name, file := range wrong {
		_, _, err := ReadHeader(bytes.NewReader(file.content), int64(len(file.content)))
		if err == nil || !strings.Contains(err.Error(), file.reason) {
			t.Errorf("%s: got %v, want an error with %q", name, err, file.reason)
		}
	}
	right := file(`{`+a+`,`+b+`}`, 8)
	if _, _, err := ReadHeader(bytes.NewReader(right), int64(len(right))); err != nil {
		t.Errorf("what the wrong files are made from is wrong itself: %v", err)
	}
}

func TestTensorsThatCannotBeWrittenAreRefused(t *testing.T) {
	for name, tensors := range map[string][]Tensor{
		"out of order":  {{"b", "F32", nil}, {"a", "F32", nil}},
		"twice":         {{"a", "F32", nil}, {"a", "F32", nil}},
		"the metadata":  {{metadataKey, "F32", nil}},
		"no text":       {{"\xff", "F32", nil}},
		"an odd type":   {{"a", "COMPLEX", nil}},
		"an odd shape":  {{"a", "F32", []int64{-1}}},
		"all too large": {{"a", "U8", []int64{math.MaxInt64}}, {"b", "U8", []int64{1}}},
	} {
		if _, err := EncodeHeader(tensors, nil); err == nil {
			t.Errorf("%s: a header was written", name)
		}
	}
}

// FuzzReadHeader holds that what is read is what would be written, and that nothing else is read.
func FuzzReadHeader(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte) {
		tensors, metadata, err := ReadHeader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		again, err := EncodeHeader(tensors, metadata)
		if err != nil || !bytes.HasPrefix(content, again) {
			t.Errorf("a header was read that is not written like that: %v", err)
		}
		rest := int64(len(content) - len(again))
		for _, tensor := range tensors {
			size, err := tensor.Size()
			if err != nil {
				t.Error(err)
			}
			rest -= size
		}
		if rest != 0 {
			t.Errorf("the tensors and the file differ by %d bytes", rest)
		}
	})
}
