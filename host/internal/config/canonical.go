package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"

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
			if err := appendCanonical(out, schema.Items, element); err != nil {
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
	if isInteger(number) && (schema == nil || !is(schema, "number")) {
		exact, _ := new(big.Rat).SetString(number.String())
		out.WriteString(exact.Num().String())
		return nil
	}
	float, err := number.Float64()
	if err != nil {
		return fmt.Errorf("%s does not fit into a 64-bit float: %w", number, err)
	}
	return appendJSON(out, float)
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

// maxExponent bounds the work for a number such as 1e999999999, which is an integer of a billion digits.
const maxExponent = 400

// isInteger says whether the number has an integral value, however it is written: 3, 3.0 and 3e2 are.
func isInteger(number json.Number) bool {
	if _, exponent, ok := cutExponent(number.String()); ok && (exponent > maxExponent || exponent < -maxExponent) {
		return false
	}
	exact, ok := new(big.Rat).SetString(number.String())
	return ok && exact.IsInt()
}

func cutExponent(number string) (mantissa string, exponent int, ok bool) {
	i := bytes.IndexAny([]byte(number), "eE")
	if i < 0 {
		return number, 0, false
	}
	if _, err := fmt.Sscanf(number[i+1:], "%d", &exponent); err != nil {
		return number, maxExponent + 1, true // too large for an int
	}
	return number[:i], exponent, true
}
