package sdk

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"
)

// exactLimits writes the limits of 64-bit integers to the last digit in a schema, for readers that are not restricted to
// float64s, and for people: encoding/json writes no more digits than tell one float64 from the next.
func exactLimits(schema json.RawMessage) json.RawMessage {
	for written, exact := range map[string]string{
		`"minimum":-9223372036854776000`:          `"minimum":-9223372036854775808`,
		`"exclusiveMaximum":9223372036854776000`:  `"exclusiveMaximum":9223372036854775808`,
		`"exclusiveMaximum":18446744073709552000`: `"exclusiveMaximum":18446744073709551616`,
	} {
		schema = bytes.ReplaceAll(schema, []byte(written), []byte(exact)) // which no text has, where quotes are escaped
	}
	return schema
}

// ranges returns the schemas of the number types within t whose limits jsonschema.For leaves out: those that it knows have
// fewer than 64 bits. Limits of a schema are float64s, and so the next integer is named in place of the largest one.
func ranges(t reflect.Type) map[reflect.Type]*jsonschema.Schema {
	found := map[reflect.Type]*jsonschema.Schema{}
	addRanges(found, map[reflect.Type]bool{}, t)
	return found
}

func addRanges(found map[reflect.Type]*jsonschema.Schema, seen map[reflect.Type]bool, t reflect.Type) {
	if seen[t] || t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return // what it is as JSON, its kind does not say
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		found[t] = &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(-0x1p63), ExclusiveMaximum: jsonschema.Ptr(0x1p63)}
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		found[t] = &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(0.0), ExclusiveMaximum: jsonschema.Ptr(0x1p64)}
	case reflect.Float32:
		found[t] = &jsonschema.Schema{Type: "number", Minimum: jsonschema.Ptr(-math.MaxFloat32), Maximum: jsonschema.Ptr(math.MaxFloat32)}
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		addRanges(found, seen, t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			addRanges(found, seen, field.Type)
		}
	}
}
