package config

import (
	"bytes"
	"encoding/json"

	"github.com/google/jsonschema-go/jsonschema"
)

// canonical writes value in the one form that two equal configurations share: keys sorted, no white space, integers in
// decimal, floats in the shortest form that reads back as the same float64. Whether 1 is an integer or a float, which
// JSON does not say, is the schema's word: so 0.5, 5e-1 and .50 hash alike, and so do 1 and 1.0.
func canonical(schema *jsonschema.Schema, value any) (json.RawMessage, error) {
	var out bytes.Buffer
	if err := appendCanonical(&out, schema, value); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func appendCanonical(out *bytes.Buffer, schema *jsonschema.Schema, value any) error {
	switch value := value.(type) {
	case map[string]any:
		out.WriteByte('{')
		for i, key := range sortedKeys(value) {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := appendJSON(out, key); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := appendCanonical(out, property(schema, key), value[key]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
		return nil
	case []any:
		out.WriteByte('[')
		for i, element := range value {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := appendCanonical(out, items(schema), element); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	case json.Number:
		return appendNumber(out, schema, value)
	default:
		return appendJSON(out, value)
	}
}

func appendNumber(out *bytes.Buffer, schema *jsonschema.Schema, number json.Number) error {
	value, err := numeric(schema, number)
	if err != nil {
		return err
	}
	return appendJSON(out, value)
}

func appendJSON(out *bytes.Buffer, value any) error {
	raw, err := json.Marshal(value)
	out.Write(raw)
	return err
}

// property is the schema of one key, nil where the schema says nothing about it.
func property(schema *jsonschema.Schema, key string) *jsonschema.Schema {
	if schema == nil {
		return nil
	}
	if found, ok := schema.Properties[key]; ok {
		return found
	}
	return schema.AdditionalProperties
}

// items is the schema of the elements of a list, nil where the schema says nothing about them.
func items(schema *jsonschema.Schema) *jsonschema.Schema {
	if schema == nil {
		return nil
	}
	return schema.Items
}
