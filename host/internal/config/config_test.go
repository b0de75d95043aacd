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
		"setps=3":               "unknown configuration key setps: did you mean steps?",
		"zzzzzz=3":              "known keys: layers, learning_rate",
		"optimizer.beta=1":      "did you mean optimizer.beta1?",
		"steps=abc":             `configuration key steps: want integer, got string "abc"`,
		"steps=1.5":             "configuration key steps: want integer, got number 1.5",
		"steps=1e999999999":     "want integer",
		"nesterov=1":            "want boolean",
		"steps=0":               "minimum",
		"steps":                 "want key=value",
		"learning_rate=1e99999": "64-bit float",
		"layers=[1.5]":          "schema",
	} {
		_, err := parsed.Merge("", []string{set})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("-S %s: got error %v, want one with %q", set, err, want)
		}
	}
}
