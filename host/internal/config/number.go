package config

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// numeric returns a number in the type that it has for its schema: a float64 where that wants one, and else an int64, or a
// uint64 above. A number that its schema says nothing about is a float64 only if it is no such integer.
func numeric(schema *jsonschema.Schema, number json.Number) (any, error) {
	if isInteger(number) && !is(schema, "number") {
		exact, _ := new(big.Rat).SetString(number.String())
		switch n := exact.Num(); {
		case n.IsInt64():
			return n.Int64(), nil
		case n.IsUint64():
			return n.Uint64(), nil
		case is(schema, "integer"):
			return nil, fmt.Errorf("%s does not fit into a 64-bit integer", shorten(number.String()))
		}
	}
	float, err := number.Float64()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s does not fit into a 64-bit float", shorten(number.String()))
	case float == 0 && !isZero(number):
		return nil, fmt.Errorf("%s is nearer to 0 than any other 64-bit float", shorten(number.String()))
	}
	return float, nil
}

// checkNumber refuses a number that is beyond the limits of its type or of its schema.
func checkNumber(schema *jsonschema.Schema, number json.Number) error {
	value, err := numeric(schema, number)
	switch {
	case schema == nil:
		return err
	case err == nil:
		return checkRange(schema, value)
	case rangeText(schema) != "":
		return fmt.Errorf("%w: want %s", err, rangeText(schema))
	default:
		return err
	}
}

// checkRange refuses a value that is beyond the limits of its schema, to the last digit.
func checkRange(schema *jsonschema.Schema, value any) error {
	exact := rational(value)
	beyond := func(limit *float64, refused ...int) bool {
		if limit == nil {
			return false
		}
		order := exact.Cmp(new(big.Rat).SetFloat64(*limit))
		for _, r := range refused {
			if order == r {
				return true
			}
		}
		return false
	}
	if beyond(schema.Minimum, -1) || beyond(schema.ExclusiveMinimum, -1, 0) || beyond(schema.Maximum, 1) || beyond(schema.ExclusiveMaximum, 1, 0) {
		return fmt.Errorf("%v is out of range: want %s", value, rangeText(schema))
	}
	return nil
}

// rangeText says which numbers are within the limits of a schema.
func rangeText(schema *jsonschema.Schema) string {
	var parts []string
	add := func(words string, limit *float64, step int64) {
		if limit == nil {
			return
		}
		if whole, accuracy := big.NewFloat(*limit).Int(nil); accuracy == big.Exact && is(schema, "integer") { // its neighbour can be named
			parts = append(parts, words+" "+whole.Add(whole, big.NewInt(step)).String())
			return
		}
		if step != 0 {
			words = strings.NewReplacer("at least", "more than", "at most", "less than").Replace(words)
		}
		parts = append(parts, words+" "+strconv.FormatFloat(*limit, 'g', -1, 64))
	}
	add("at least", schema.Minimum, 0)
	add("at least", schema.ExclusiveMinimum, 1)
	add("at most", schema.Maximum, 0)
	add("at most", schema.ExclusiveMaximum, -1)
	return strings.Join(parts, " and ")
}

func rational(value any) *big.Rat {
	switch value := value.(type) {
	case int64:
		return new(big.Rat).SetInt64(value)
	case uint64:
		return new(big.Rat).SetUint64(value)
	default:
		return new(big.Rat).SetFloat64(value.(float64))
	}
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

// isZero says whether the number is 0, however it is written.
func isZero(number json.Number) bool {
	mantissa, _, _ := cutExponent(number.String())
	return !strings.ContainsAny(mantissa, "123456789")
}

func cutExponent(number string) (mantissa string, exponent int, ok bool) {
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return number, 0, false
	}
	if _, err := fmt.Sscanf(number[i+1:], "%d", &exponent); err != nil {
		return number[:i], maxExponent + 1, true // too large for an int
	}
	return number[:i], exponent, true
}
