package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// Metrics are named values. In JSON they are an object with sorted keys; a finite value is a number in its shortest
// form, and the others are the strings "NaN", "Infinity" and "-Infinity", as in the JSON form of Protocol Buffers.
type Metrics map[string]float64

// MarshalJSON implements json.Marshaler.
func (m Metrics) MarshalJSON() ([]byte, error) {
	values := make(map[string]any, len(m))
	for name, v := range m {
		switch {
		case math.IsNaN(v):
			values[name] = "NaN"
		case math.IsInf(v, 1):
			values[name] = "Infinity"
		case math.IsInf(v, -1):
			values[name] = "-Infinity"
		default:
			values[name] = v
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // which would make six bytes of one
	if err := enc.Encode(values); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Metrics) UnmarshalJSON(raw []byte) error {
	var values map[string]any
	if err := json.Unmarshal(raw, &values); err != nil {
		return err
	}
	if values == nil { // null
		return nil
	}
	*m = make(Metrics, len(values))
	for name, v := range values {
		switch v := v.(type) {
		case float64:
			(*m)[name] = v
			continue
		case string:
			if x, ok := nonFinite[v]; ok {
				(*m)[name] = x
				continue
			}
		}
		return fmt.Errorf("the value of %q is neither a number nor NaN, Infinity or -Infinity", name)
	}
	return nil
}

var nonFinite = map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}
