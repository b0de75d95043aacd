package checkpoint

import (
	"encoding/json"
	"math"
	"testing"
)

func TestMetricsKeepEveryValue(t *testing.T) {
	m := Metrics{
		"b": 0.1, "a": 1, "c": math.NaN(), "d": math.Inf(1), "e": math.Inf(-1), "f": math.Copysign(0, -1),
		"g": math.MaxFloat64, "h": math.SmallestNonzeroFloat64, "": 1.0 / 3,
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"":0.3333333333333333,"a":1,"b":0.1,"c":"NaN","d":"Infinity","e":"-Infinity","f":-0,"g":1.7976931348623157e+308,"h":5e-324}`
	if string(raw) != want {
		t.Errorf("encoded %s", raw)
	}
	var back Metrics
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if len(back) != len(m) {
		t.Errorf("decoded %v", back)
	}
	for name, v := range m {
		if math.Float64bits(back[name]) != math.Float64bits(v) {
			t.Errorf("%q: %v became %v", name, v, back[name])
		}
	}
}

func TestMetricsRefuseOtherValues(t *testing.T) {
	for _, raw := range []string{`{"a":"nan"}`, `{"a":"1"}`, `{"a":null}`, `{"a":true}`, `{"a":[1]}`, `{"a":1e999}`, `[]`, `1`} {
		var m Metrics
		if err := json.Unmarshal([]byte(raw), &m); err == nil {
			t.Errorf("%s: decoded %v", raw, m)
		}
	}
}
