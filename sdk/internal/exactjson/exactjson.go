// Package exactjson writes Go values as JSON, and reads them back as they were, to the bit.
//
// Beyond encoding/json it keeps floats that are no finite number, as "NaN", "Infinity" and "-Infinity", and values with
// a binary or a text form of their own, such as rand.PCG. It refuses what encoding/json would leave out, change or guess
// in silence: unexported fields, interfaces, text that is no UTF-8, unknown and missing fields.
package exactjson

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

var (
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// hasBinary says whether a value of type t writes and reads itself as bytes.
func hasBinary(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(binaryMarshaler) && pointer.Implements(binaryUnmarshaler)
}

// hasText says the same of text.
func hasText(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(textMarshaler) && pointer.Implements(textUnmarshaler)
}

// isBytes says whether t is a slice of bytes, which is written as base64.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// isNilable says whether a value of type t may be nil, which is written as null.
func isNilable(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
}

// field is a field of a struct that is kept.
type field struct {
	name  string // in JSON: as encoding/json names it, without its options
	index int
}

// fieldsOf lists the fields that are kept: all but those of tag json:"-". Embedded structs are fields as others are.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if t.Field(i).Tag.Get("json") == "-" {
			continue
		}
		if name == "" {
			name = t.Field(i).Name
		}
		fields = append(fields, field{name, i})
	}
	return fields
}

// Check fails if values of type t cannot be kept exactly. The error names the first part that cannot, and what to do.
func Check(t reflect.Type) error { return check(t, t.String(), map[reflect.Type]bool{}) }

// check looks at each type once, so that a type may contain pointers to itself.
func check(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if seen[t] || t.Kind() != reflect.Pointer && (hasBinary(t) || hasText(t)) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return nil
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return check(t.Elem(), path, seen)
	case reflect.Map:
		switch t.Key().Kind() {
		case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			return check(t.Elem(), path+"[]", seen)
		}
		return fmt.Errorf("%s is a %s: want keys that are strings or integers", path, t)
	case reflect.Struct:
		return checkStruct(t, path, seen)
	default:
		return fmt.Errorf("%s is a %s, which cannot be kept: give it another type, or leave it out with the tag `json:\"-\"`", path, t)
	}
}

func checkStruct(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	names := map[string]bool{}
	for _, f := range fieldsOf(t) {
		inner := path + "." + t.Field(f.index).Name
		if !t.Field(f.index).IsExported() {
			return fmt.Errorf("%s cannot be kept, since it is not exported: begin its name with a capital, or leave it out with the tag `json:\"-\"`", inner)
		}
		if names[f.name] {
			return fmt.Errorf("%s has the JSON name %q, as another field has", inner, f.name)
		}
		names[f.name] = true
		if err := check(t.Field(f.index).Type, inner, seen); err != nil {
			return err
		}
	}
	return nil
}
