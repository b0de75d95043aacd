package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const schema = `{
  "type": "object",
  "properties": {
    "steps":         {"type": "integer", "default": 600, "minimum": 1},
    "learning_rate": {"type": "number", "default": 0.001},
    "name":          {"type": "string", "default": "a"},
    "nesterov":      {"type": "boolean", "default": false},
    "layers":        {"type": ["null", "array"], "items": {"type": "integer"}, "default": [64, 32]},
    "optimizer":     {"type": "object", "properties": {"beta1": {"type": "number", "default": 0.9}}, "additionalProperties": false}
  },
  "additionalProperties": false
}`

func merged(t *testing.T, file string, sets ...string) string {
	t.Helper()
	parsed, err := ParseSchema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	config, err := parsed.Merge(file, sets)
	if err != nil {
		t.Fatalf("merging %q: %v", sets, err)
	}
	return string(config)
}

func TestConfigurationHasOneCanonicalForm(t *testing.T) {
	want := `{"layers":[64,32],"learning_rate":0.001,"name":"a","nesterov":false,"optimizer":{"beta1":0.9},"steps":600}`
	if got := merged(t, ""); got != want {
		t.Errorf("defaults:\n got %s\nwant %s", got, want)
	}
	for _, same := range [][2]string{
		{"learning_rate=0.5", "learning_rate=5e-1"},
		{"learning_rate=1", "learning_rate=1.0"},
		{"steps=100", "steps=1e2"},
		{"layers=[1, 2]", "layers=[1,2]"},
	} {
		if a, b := merged(t, "", same[0]), merged(t, "", same[1]); a != b {
			t.Errorf("%s and %s differ:\n%s\n%s", same[0], same[1], a, b)
		}
	}
	if got := merged(t, "", "steps=9007199254740993"); !strings.Contains(got, "9007199254740993") {
		t.Errorf("a 64-bit integer lost digits: %s", got)
	}
}

func TestSetWinsOverFileWinsOverDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte("steps = 7\nname = \"file\"\n[optimizer]\nbeta1 = 0.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := merged(t, file, "name=set")
	want := `{"layers":[64,32],"learning_rate":0.001,"name":"set","nesterov":false,"optimizer":{"beta1":0.5},"steps":7}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := merged(t, "", `name=\ud800 "\n`); !strings.Contains(got, `"name":"\\ud800 \"\\n"`) {
		t.Errorf("text was taken for JSON: %s", got)
	}
	if got := merged(t, "", "optimizer.beta1=0.25", "name=12"); !strings.Contains(got, `"beta1":0.25`) || !strings.Contains(got, `"name":"12"`) {
		t.Errorf("a dotted key or a string that looks like a number was lost: %s", got)
	}
}

func TestWrongConfigurationNamesKeyAndWayOut(t *testing.T) {
	parsed, err := ParseSchema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"setps=3":                         "unknown configuration key setps: did you mean steps?",
		"zzzzzz=3":                        "known keys: layers, learning_rate",
		"optimizer.beta=1":                "did you mean optimizer.beta1?",
		"steps=abc":                       `configuration key steps: want integer, got string "abc"`,
		"steps=1.5":                       "configuration key steps: want integer, got number 1.5",
		"steps=1e999999999":               "want integer",
		"nesterov=1":                      "want boolean",
		"steps=0":                         "configuration key steps: 0 is out of range: want at least 1",
		"steps":                           "want key=value",
		"learning_rate=1e99999":           "64-bit float",
		"layers=[1.5]":                    "configuration key layers[0]: want integer, got number 1.5",
		"layers=[1,[2]]":                  "configuration key layers[1]: want integer, got array",
		"learning_rate=1e-400":            "configuration key learning_rate: 1e-400 is nearer to 0",
		"learning_rate=NaN":               `configuration key learning_rate: want number, got string "NaN"`,
		"optimizer=3":                     "configuration key optimizer: want object",
		"steps=1e300":                     "configuration key steps: 1e300 does not fit into a 64-bit integer",
		"name=caf\xe9":                    `configuration key name: text that is not UTF-8: "caf\xe9"`,
		"nam\xe9=a":                       "not UTF-8",
		`optimizer={"beta1":1,"beta1":2}`: "configuration key optimizer.beta1 is given twice",
		`optimizer={"beta1":"\ud800"}`:    "configuration key optimizer.beta1: text with half of a surrogate pair",
	} {
		_, err := parsed.Merge("", []string{set})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("-S %s: got error %v, want one with %q", set, err, want)
		}
	}
}

// limits is a schema of everything that a type of Go can be limited to.
const limits = `{
  "type": "object",
  "properties": {
    "i64": {"type": "integer", "default": 9223372036854775807, "minimum": -9223372036854775808, "exclusiveMaximum": 9223372036854775808},
    "u64": {"type": "integer", "default": 0, "minimum": 0, "exclusiveMaximum": 18446744073709551616},
    "u8":  {"type": "integer", "default": 0, "minimum": 0, "maximum": 255},
    "f32": {"type": "number", "default": 0, "minimum": -3.4028234663852886e38, "maximum": 3.4028234663852886e38},
    "above": {"type": "number", "default": 1, "exclusiveMinimum": 0},
    "bytes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}, "default": []},
    "rates": {"type": "object", "additionalProperties": {"type": "number", "maximum": 1}, "default": {}},
    "a.b": {"type": "integer", "default": 1},
    "a": {"type": "object", "properties": {"c": {"type": "integer", "default": 1}}, "additionalProperties": false},
    "any": {"default": null}
  },
  "additionalProperties": false
}`

func TestLimitsHoldToTheLastDigit(t *testing.T) {
	parsed, err := ParseSchema([]byte(limits))
	if err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"i64=9223372036854775807":   `"i64":9223372036854775807,`,
		"i64=-9223372036854775808":  `"i64":-9223372036854775808,`,
		"u64=18446744073709551615":  `"u64":18446744073709551615`,
		"u64=-0":                    `"u64":0`,
		"f32=3.4028234663852886e38": `"f32":3.4028234663852886e+38,`,
		"f32=-0.0":                  `"f32":-0,`,
		"u8=2.55e2":                 `"u8":255}`,
		"above=1e-300":              `"above":1e-300,`,
		"a.b=7":                     `"a.b":7,`,
		"a.c=7":                     `"a":{"c":7},`,
		"any=[[1.50]]":              `"any":[[1.5]],`,
		"any=word":                  `"any":"word",`,
		"any=36893488147419103232":  `"any":36893488147419103000,`,
		"rates.x=0.5":               `"rates":{"x":0.5},`,
	} {
		config, err := parsed.Merge("", []string{set})
		if err != nil || !strings.Contains(string(config), want) {
			t.Errorf("-S %s: got %s, %v; want %s", set, config, err, want)
		}
	}
	for set, want := range map[string]string{
		"i64=9223372036854775808":  "configuration key i64: 9223372036854775808 is out of range: want at least -9223372036854775808 and at most 9223372036854775807",
		"i64=-9223372036854775809": "configuration key i64: -9223372036854775809 does not fit into a 64-bit integer: want at least -9223372036854775808 and at most",
		"u64=18446744073709551616": "configuration key u64: 18446744073709551616 does not fit",
		"u64=-1":                   "configuration key u64: -1 is out of range: want at least 0 and at most 18446744073709551615",
		"u8=256":                   "configuration key u8: 256 is out of range: want at least 0 and at most 255",
		"f32=1e39":                 "configuration key f32: 1e+39 is out of range: want at least -3.4028234663852886e+38",
		"above=0":                  "configuration key above: 0 is out of range: want more than 0",
		"bytes=[1,256]":            "configuration key bytes[1]: 256 is out of range",
		"rates.x=2":                "configuration key rates.x: 2 is out of range",
		`rates={"x":2}`:            "configuration key rates.x: 2 is out of range",
		`any={"x":1,"x":2}`:        "configuration key any.x is given twice",
	} {
		_, err := parsed.Merge("", []string{set})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("-S %s: got error %v, want one with %q", set, err, want)
		}
	}
}

// Of one key the last -S counts, and two keys of a map are two.
func TestLaterSetOfAKeyCounts(t *testing.T) {
	parsed, err := ParseSchema([]byte(limits))
	if err != nil {
		t.Fatal(err)
	}
	config, err := parsed.Merge("", []string{"u8=1", "rates.x=0.5", "rates.y=1", "u8=2", "rates.x=0.25", `a={"c":3}`})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"u8":2`, `"rates":{"x":0.25,"y":1}`, `"a":{"c":3}`} {
		if !strings.Contains(string(config), want) {
			t.Errorf("got %s, want %s", config, want)
		}
	}
}

func TestFileIsRefusedWhereItWouldBeChangedInSilence(t *testing.T) {
	parsed, err := ParseSchema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, content, want string }{
		{"a.json", `{"learning_rate":0.1,"learning_rate":0.2}`, "configuration key learning_rate is given twice"},
		{"a.json", `{"optimizer":{"beta1":0.1,"beta1":0.1}}`, "configuration key optimizer.beta1 is given twice"},
		{"a.json", `{"name":"a","n\u0061me":"b"}`, "configuration key name is given twice"},
		{"a.json", "{\"name\":\"caf\xe9\"}", `configuration key name: text that is not UTF-8`},
		{"a.json", `{"name":"\ud800"}`, "configuration key name: text with half of a surrogate pair"},
		{"a.json", `{"name":"\ud800\ud800"}`, "configuration key name: text with half of a surrogate pair"},
		{"a.json", `{"name":"x\udc00\ud800"}`, "configuration key name: text with half of a surrogate pair"},
		{"a.json", `{"name":"\ud83d\\ude00"}`, "configuration key name: text with half of a surrogate pair"},
		{"a.json", `{"\udfff":"a"}`, "half of a surrogate pair"},
		{"a.json", `{"steps":1} {"steps":2}`, "not JSON"},
		{"a.json", ``, "not JSON"},
		{"a.json", `{"steps":1,}`, "not JSON"},
		{"a.json", `{"learning_rate":NaN}`, "not JSON"},
		{"a.json", `[1]`, "want an object of configuration keys, got array"},
		{"a.json", `{"learning_rate":1e400}`, "configuration key learning_rate: 1e400 does not fit into a 64-bit float"},
		{"a.json", strings.Repeat(`{"optimizer":`, 20_000) + "1" + strings.Repeat("}", 20_000), "depth"},
		{"a.json", strings.Repeat(`{"optimizer":`, 5_000) + "1" + strings.Repeat("}", 5_000), "unknown configuration key optimizer.optimizer"},
		{"a.toml", "learning_rate = nan", "configuration key learning_rate: a configuration is JSON, which has no NaN"},
		{"a.toml", "[optimizer]\nbeta1 = -inf", "configuration key optimizer.beta1: a configuration is JSON, which has no -Inf"},
		{"a.toml", "steps = 1\nsteps = 2", "steps"},
		{"a.toml", "optimizer.beta1 = 1\n[optimizer]\nbeta1 = 2", "optimizer"},
		{"a.toml", "name = \"caf\xe9\"", "not TOML"},
		{"a.toml", "name = \"\\ud800\"", "not TOML"},
		{"a.toml", "steps = 9223372036854775808", "9223372036854775808"},
		{"a.toml", "learning_rate = 1e400", "1e400"},
		{"a.toml", "name = 3", "configuration key name: want string, got integer 3"},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := parsed.Merge(file, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%.80q: got error %.300v, want one with %q", c.content, err, c.want)
		}
	}
	for _, c := range []struct{ name, content, want string }{
		{"a.json", "\uFEFF{\"steps\":7}", `"steps":7`},
		{"a.toml", "\uFEFFsteps = 7", `"steps":7`},
		{"a.toml", "", `"steps":600`},
		{"a.toml", "learning_rate = -0.0", `"learning_rate":-0`},
		{"a.toml", "learning_rate = 5e-1", `"learning_rate":0.5`},
		{"a.toml", "steps = 9007199254740993", `"steps":9007199254740993`},
		{"a.toml", "name = 1979-05-27", `"name":"1979-05-27"`},
		{"a.json", `{"name":"\ud83d\ude00 \ufffd \\ud800"}`, "\"name\":\"\U0001F600 \uFFFD \\\\ud800\""},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if config, err := parsed.Merge(file, nil); err != nil || !strings.Contains(string(config), c.want) {
			t.Errorf("%q: got %s, %v; want %s", c.content, config, err, c.want)
		}
	}
}

func TestSchemaIsHeldAgainstTheRules(t *testing.T) {
	object := func(properties string) string {
		return `{"type":"object","properties":{` + properties + `},"additionalProperties":false}`
	}
	for raw, want := range map[string]string{
		``:                  "not JSON",
		`[]`:                "not a JSON Schema",
		`3`:                 "not a JSON Schema",
		`true`:              "does not describe an object",
		`{"type":"string"}`: "does not describe an object",
		`{"type":"object"}`: "admits keys",
		`{"type":["object","null"],"additionalProperties":false}`:                                                          "does not describe an object",
		`{"type":"object","properties":{},"additionalProperties":true}`:                                                    "admits keys",
		`{"type":"object","patternProperties":{"x":{}},"additionalProperties":false}`:                                      "admits keys",
		`{"type":"object","type":"object","additionalProperties":false}`:                                                   "given twice",
		object(`"x":{"type":"integer"}`):                                                                                   "configuration key x has no default",
		object(`"x":true`):                                                                                                 "configuration key x has no default",
		object(`"x":null`):                                                                                                 "x",
		object(`"x":{"type":"integer","default":"a"}`):                                                                     `configuration key x: want integer, got string "a"`,
		object(`"x":{"type":"integer","default":0,"minimum":1}`):                                                           "configuration key x: 0 is out of range",
		object(`"x":{"enum":["a"],"default":"b"}`):                                                                         "enum",
		object(`"x":{"type":"string","default":"\ud800"}`):                                                                 "surrogate",
		object(`"x":{"type":"string","pattern":"(","default":""}`):                                                         "not valid",
		object(`"":{"default":1}`):                                                                                         "cannot be a configuration key",
		object("\"a\\n\":{\"default\":1}"):                                                                                 "cannot be a configuration key",
		object(`"x":` + object(`"y":{"type":"integer"}`)):                                                                  "configuration key x.y has no default",
		object(`"x":{"type":"object","properties":{"y":{"default":1}}}`):                                                   "configuration key x admits keys",
		object(`"x":{"type":"object","properties":{"y":{}},"default":{},"additionalProperties":false}`):                    "configuration key x.y has no default",
		object(`"x":{"type":"object","properties":{"y":{}},"default":3,"additionalProperties":false}`):                     "configuration key x: want object, got integer 3",
		object(`"x":{"$ref":"#","default":{}}`):                                                                            `refers to "#"`,
		object(`"x":{"$ref":"https://example.org/s.json","default":{}}`):                                                   "refers to",
		`{"type":"object","$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}},"additionalProperties":false}`: "refers to itself",
		`{"type":"object","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"additionalProperties":false}`:       "refers to itself",
		`{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","additionalProperties":false}`:               "draft",
	} {
		if _, err := ParseSchema([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", raw, err, want)
		}
	}
	for _, raw := range []string{
		`{"type":"object","additionalProperties":false}`,
		object(`"x":{"type":["null","integer"],"default":null}`),
		object(`"x":{"$ref":"#/$defs/a","default":1},"y":{"$ref":"#/$defs/a","default":2}`)[:len(object(`"x":{"$ref":"#/$defs/a","default":1},"y":{"$ref":"#/$defs/a","default":2}`))-1] + `,"$defs":{"a":{"type":"integer"}}}`,
		object(`"x":{"type":"object","properties":{"y":{}},"default":{"y":1},"additionalProperties":false}`),
	} {
		if _, err := ParseSchema([]byte(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
