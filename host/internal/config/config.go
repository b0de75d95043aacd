// Package config makes the configuration of an experiment: the plugin's defaults, then a file, then `-S key=value`,
// checked against the plugin's JSON Schema and brought into the one canonical form that is hashed and guarded.
package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/pelletier/go-toml/v2"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/proto/wire"
)

// Schema is the configuration schema of one experiment.
type Schema struct {
	root     *jsonschema.Schema
	resolved *jsonschema.Resolved
}

// ParseSchema reads a plugin's JSON Schema. An error is the plugin's fault.
func ParseSchema(raw []byte) (*Schema, error) {
	root := new(jsonschema.Schema)
	if err := json.Unmarshal(raw, root); err != nil {
		return nil, fmt.Errorf("its configuration schema is not a JSON Schema: %w", err)
	}
	if !is(root, "object") {
		return nil, errors.New("its configuration schema does not describe an object")
	}
	resolved, err := root.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		return nil, fmt.Errorf("its configuration schema is not valid: %w", err)
	}
	return &Schema{root: root, resolved: resolved}, nil
}

// Merge returns the whole configuration in canonical form: the defaults, overlaid with file (a TOML or JSON file;
// empty for none), overlaid with sets, each of the form key=value with a dotted path as the key.
func (s *Schema) Merge(file string, sets []string) (json.RawMessage, error) {
	values, err := s.defaults(s.root)
	if err != nil {
		return nil, err
	}
	if file != "" {
		overlay, err := readFile(file)
		if err != nil {
			return nil, err
		}
		if err := merge(s.root, values, overlay, ""); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, set := range sets {
		key, text, ok := strings.Cut(set, "=")
		if !ok {
			return nil, fmt.Errorf("-S %s: want key=value", set)
		}
		overlay, err := s.parseSet(key, text)
		if err == nil {
			err = merge(s.root, values, overlay, "")
		}
		if err != nil {
			return nil, fmt.Errorf("-S %s: %w", set, err)
		}
	}
	return s.finish(values)
}

// Complete returns a configuration in canonical form with the defaults of the keys that it does not have.
func (s *Schema) Complete(config json.RawMessage) (json.RawMessage, error) {
	values, err := s.defaults(s.root)
	if err != nil {
		return nil, err
	}
	overlay, err := decodeObject(config)
	if err != nil {
		return nil, err
	}
	if err := merge(s.root, values, overlay, ""); err != nil {
		return nil, err
	}
	return s.finish(values)
}

// finish brings values into canonical form and checks them against the whole schema.
func (s *Schema) finish(values map[string]any) (json.RawMessage, error) {
	config, err := canonical(s.root, values)
	if err != nil {
		return nil, err
	}
	if err := wire.CheckConfig(config); err != nil {
		return nil, err
	}
	var plain any // the validator knows float64, and no json.Number
	if err := json.Unmarshal(config, &plain); err != nil {
		return nil, err
	}
	if err := s.resolved.Validate(plain); err != nil {
		return nil, fmt.Errorf("the configuration does not fit the plugin's schema: %w", err)
	}
	return config, nil
}

// Hash is the identity of a canonical configuration: its SHA-256 in hex.
func Hash(config json.RawMessage) string {
	sum := sha256.Sum256(config)
	return hex.EncodeToString(sum[:])
}

func (s *Schema) defaults(schema *jsonschema.Schema) (map[string]any, error) {
	values := map[string]any{}
	for name, property := range schema.Properties {
		switch {
		case property.Default != nil:
			value, err := decode(bytes.NewReader(property.Default))
			if err != nil {
				return nil, fmt.Errorf("the default of configuration key %s is not JSON: %w", name, err)
			}
			values[name] = value
		case is(property, "object") && len(property.Properties) > 0:
			nested, err := s.defaults(property)
			if err != nil {
				return nil, err
			}
			values[name] = nested
		}
	}
	return values, nil
}

// parseSet turns a dotted key and the text behind it into an overlay, reading the text as the schema's type wants it.
func (s *Schema) parseSet(key, text string) (map[string]any, error) {
	schema := s.root
	path := strings.Split(key, ".")
	for i, name := range path {
		property, err := lookup(schema, name, strings.Join(path[:i], "."))
		if err != nil {
			return nil, err
		}
		schema = property
	}
	var value any = text
	if !is(schema, "string") {
		parsed, err := decode(strings.NewReader(text))
		if err == nil {
			value = parsed // text that is no JSON stays a string, which the check of the type then names
		}
	}
	for _, name := range slices.Backward(path) {
		value = map[string]any{name: value}
	}
	return value.(map[string]any), nil
}

// merge overlays values, which fit schema, with overlay, which is checked on the way. path is where both are.
func merge(schema *jsonschema.Schema, values, overlay map[string]any, path string) error {
	for _, name := range sortedKeys(overlay) {
		property, err := lookup(schema, name, path)
		if err != nil {
			return err
		}
		at := join(path, name)
		if err := checkType(property, overlay[name], at); err != nil {
			return err
		}
		nested, isObject := overlay[name].(map[string]any)
		below, hasBelow := values[name].(map[string]any)
		if isObject && hasBelow && len(property.Properties) > 0 {
			if err := merge(property, below, nested, at); err != nil {
				return err
			}
			continue
		}
		values[name] = overlay[name]
	}
	return nil
}

// keysListed is how many keys an error lists; `plugin describe` shows all.
const keysListed = 20

// lookup finds the schema of one key, or names the nearest that there is.
func lookup(schema *jsonschema.Schema, name, path string) (*jsonschema.Schema, error) {
	if property, ok := schema.Properties[name]; ok {
		return property, nil
	}
	if open := schema.AdditionalProperties; open != nil && open.Not == nil {
		return open, nil // a map of values that all have this schema
	}
	known := sortedKeys(schema.Properties)
	if len(known) == 0 {
		return nil, fmt.Errorf("unknown configuration key %s: nothing can be set here", join(path, name))
	}
	nearest := slices.MinFunc(known, func(a, b string) int {
		return levenshtein.ComputeDistance(name, a) - levenshtein.ComputeDistance(name, b)
	})
	message := fmt.Sprintf("unknown configuration key %s", join(path, name))
	if levenshtein.ComputeDistance(name, nearest) <= max(2, len(name)/2) {
		message += fmt.Sprintf(": did you mean %s?", join(path, nearest))
	}
	return nil, fmt.Errorf("%s (known keys: %s)", message, exit.Few(known, keysListed))
}

func checkType(schema *jsonschema.Schema, value any, path string) error {
	want := types(schema)
	if len(want) == 0 {
		return nil
	}
	got := typeOf(value)
	if slices.Contains(want, got) || got == "integer" && slices.Contains(want, "number") {
		return nil
	}
	shown, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return fmt.Errorf("configuration key %s: want %s, got %s %s", path, strings.Join(want, " or "), got, shown)
}

func typeOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if isInteger(value) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}

func types(schema *jsonschema.Schema) []string {
	if schema.Type != "" {
		return []string{schema.Type}
	}
	return schema.Types
}

func is(schema *jsonschema.Schema, name string) bool { return slices.Contains(types(schema), name) }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// readFile reads a configuration file by its extension, .toml or .json.
func readFile(path string) (map[string]any, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	switch filepath.Ext(path) {
	case ".json":
	case ".toml":
		var table map[string]any
		if err := toml.Unmarshal(raw, &table); err != nil {
			var syntax *toml.DecodeError
			if errors.As(err, &syntax) {
				return nil, fmt.Errorf("%s is not TOML:\n%s", path, syntax.String())
			}
			return nil, fmt.Errorf("%s is not TOML: %w", path, err)
		}
		if raw, err = json.Marshal(table); err != nil {
			return nil, fmt.Errorf("%s has a value that JSON cannot hold: %w", path, err)
		}
	default:
		return nil, fmt.Errorf("%s: a configuration file ends in .toml or .json", path)
	}
	object, err := decodeObject(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return object, nil
}

func decodeObject(raw []byte) (map[string]any, error) {
	value, err := decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want an object of configuration keys, got %s", typeOf(value))
	}
	return object, nil
}

// decode reads one JSON value, and keeps numbers as they are written: a float64 would lose 64-bit integers.
func decode(r io.Reader) (any, error) {
	decoder := json.NewDecoder(r)
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return value, nil
}
