package sdk

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// everyKind is a configuration with each kind of value.
type everyKind struct {
	Steps    int64              `json:"steps" jsonschema:"training steps"`
	Rate     float64            `json:"rate" jsonschema:"step size of the optimizer"`
	Name     string             `json:"name"`
	Nesterov bool               `json:"nesterov"`
	Layers   []int              `json:"layers"`
	Weights  map[string]float64 `json:"weights"`
	Stages   []stage            `json:"stages"`
	Best     *stage             `json:"best"`
	Adam     struct {
		Beta  float64 `json:"beta"`
		Decay struct {
			Rate float64 `json:"rate"`
		} `json:"decay"`
	} `json:"adam"`
}

type stage struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

func everyDefault() everyKind {
	defaults := everyKind{Steps: 9007199254740993, Rate: 1e-3, Name: "adam", Layers: []int{4, 2}, Weights: map[string]float64{"a": 1}, Stages: []stage{{0, 10}, {10, 20}}}
	defaults.Adam.Beta = 0.9
	defaults.Adam.Decay.Rate = 0.5
	return defaults
}

// The schema is part of a plugin's description, which people and the host read: a change of it is one of the contract.
func TestSchemaIsTheOneOnRecord(t *testing.T) {
	const golden = "testdata/schema.json"
	raw, err := schemaOf(everyDefault())
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the schema is not that of %s (UPDATE_GOLDEN=1 writes it):\n%s", golden, got.Bytes())
	}
}

func TestGivenValueReplacesItsDefaultAsAWhole(t *testing.T) {
	defaults := everyDefault()
	config, err := parseConfig(defaults, []byte(`{"weights": {"b": 2}, "stages": [{"to": 5}], "layers": [7], "adam": {"decay": {}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(config.Weights, map[string]float64{"b": 2}) || len(config.Stages) != 1 || config.Stages[0] != (stage{To: 5}) || len(config.Layers) != 1 {
		t.Errorf("got %+v", config)
	}
	if config.Steps != defaults.Steps || config.Adam != defaults.Adam {
		t.Errorf("a default was lost: %+v", config)
	}
	if defaults.Weights["b"] != 0 || defaults.Layers[0] != 4 || defaults.Stages[0].To != 10 {
		t.Errorf("the defaults were changed: %+v", defaults)
	}
}

func TestDefaultsThatTheSchemaRefusesAreRefused(t *testing.T) {
	defaults := everyDefault()
	defaults.Weights = nil
	if _, err := schemaOf(defaults); err == nil {
		t.Error("a map without a default was taken")
	}
}

func TestUnknownKeyIsRefusedAtEveryDepth(t *testing.T) {
	for _, config := range []string{
		`{"stpes": 1}`, `{"STEPS": 1}`, `{"adam": {"bata": 1}}`, `{"adam": {"decay": {"Rate": 1}}}`, `{"stages": [{"form": 1}]}`, `{"best": {"form": 1}}`,
	} {
		if _, err := parseConfig(everyDefault(), []byte(config)); err == nil {
			t.Errorf("%s was taken", config)
		}
	}
}

// numbers is a configuration with each type of number.
type numbers struct {
	Int     int               `json:"int"`
	Int8    int8              `json:"int8"`
	Int32   int32             `json:"int32"`
	Int64   int64             `json:"int64"`
	Uint    uint              `json:"uint"`
	Uint16  uint16            `json:"uint16"`
	Uint64  uint64            `json:"uint64"`
	Float32 float32           `json:"float32"`
	Float64 float64           `json:"float64"`
	Wait    time.Duration     `json:"wait"`
	Level   slog.Level        `json:"level"`
	Since   time.Time         `json:"since"`
	Maybe   *int64            `json:"maybe"`
	List    []uint64          `json:"list"`
	Map     map[string]uint32 `json:"map"`
	Within  struct {
		Deep float32 `json:"deep"`
	} `json:"within"`
}

func TestSchemaHasTheRangeOfEachType(t *testing.T) {
	raw, err := schemaOf(numbers{Int64: math.MaxInt64, Uint64: math.MaxUint64, Float32: math.MaxFloat32, Map: map[string]uint32{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"int":{"type":"integer","default":0,"minimum":-9223372036854775808,"exclusiveMaximum":9223372036854775808}`,
		`"int8":{"type":"integer","default":0,"minimum":-128,"maximum":127}`,
		`"int32":{"type":"integer","default":0,"minimum":-2147483648,"maximum":2147483647}`,
		`"int64":{"type":"integer","default":9223372036854775807,"minimum":-9223372036854775808,"exclusiveMaximum":9223372036854775808}`,
		`"uint":{"type":"integer","default":0,"minimum":0,"exclusiveMaximum":18446744073709551616}`,
		`"uint16":{"type":"integer","default":0,"minimum":0,"maximum":65535}`,
		`"uint64":{"type":"integer","default":18446744073709551615,"minimum":0,"exclusiveMaximum":18446744073709551616}`,
		`"float32":{"type":"number","default":3.4028235e+38,"minimum":-3.4028234663852886e+38,"maximum":3.4028234663852886e+38}`,
		`"float64":{"type":"number","default":0}`,
		`"wait":{"type":"integer","default":0,"minimum":-9223372036854775808,"exclusiveMaximum":9223372036854775808}`,
		`"level":{"type":"string","default":"INFO"}`,
		`"maybe":{"type":["null","integer"],"default":null,"minimum":-9223372036854775808,"exclusiveMaximum":9223372036854775808}`,
		`"items":{"type":"integer","minimum":0,"exclusiveMaximum":18446744073709551616}`,
		`"additionalProperties":{"type":"integer","minimum":0,"maximum":4294967295}`,
		`"deep":{"type":"number","default":0,"minimum":-3.4028234663852886e+38,"maximum":3.4028234663852886e+38}`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("want %s in %s", want, raw)
		}
	}
}
