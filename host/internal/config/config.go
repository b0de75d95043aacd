// Package config makes the configuration of an experiment: the plugin's defaults, then a file, then `-S key=value`,
// checked against the plugin's JSON Schema and brought into the one canonical form that is hashed and guarded.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/mtt-project/mtt/proto/wire"
)

// Merge returns the whole configuration in canonical form: the defaults, overlaid with file (a TOML or JSON file;
// empty for none), overlaid with sets, each of the form key=value with a dotted path as the key. Of one key, the last counts.
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
	given := map[string]any{}
	for _, set := range sets {
		if err := s.set(given, set); err != nil {
			return nil, fmt.Errorf("-S %s: %w", shorten(strings.ToValidUTF8(set, "\uFFFD")), err)
		}
	}
	if err := merge(s.root, values, given, ""); err != nil {
		return nil, fmt.Errorf("-S: %w", err)
	}
	return s.finish(values)
}

// Complete returns a configuration in canonical form with the defaults of the keys that it does not have.
func (s *Schema) Complete(config json.RawMessage) (json.RawMessage, error) {
	values, err := s.defaults(s.root)
	if err != nil {
		return nil, err
	}
	value, err := decode(config, "")
	if err != nil {
		return nil, err
	}
	overlay, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want an object of configuration keys, got %s", typeOf(value))
	}
	if err := merge(s.root, values, overlay, ""); err != nil {
		return nil, err
	}
	return s.finish(values)
}

// finish brings values, which were checked, into canonical form and validates them against the whole schema.
func (s *Schema) finish(values map[string]any) (json.RawMessage, error) {
	config, err := canonical(s.root, values)
	if err != nil {
		return nil, err
	}
	if err := wire.CheckConfig(config); err != nil {
		return nil, err
	}
	plain, err := withoutNumbers(s.root, values)
	if err != nil {
		return nil, err
	}
	if err := s.resolved.Validate(plain); err != nil {
		return nil, fmt.Errorf("the configuration does not fit the plugin's schema: %w", err)
	}
	return config, nil
}

// withoutNumbers returns the value with the Go numbers that the validator knows, exact ones, in the place of each json.Number.
func withoutNumbers(schema *jsonschema.Schema, value any) (_ any, err error) {
	switch value := value.(type) {
	case map[string]any:
		plain := make(map[string]any, len(value))
		for name, element := range value {
			if plain[name], err = withoutNumbers(property(schema, name), element); err != nil {
				return nil, err
			}
		}
		return plain, nil
	case []any:
		plain := make([]any, len(value))
		for i, element := range value {
			if plain[i], err = withoutNumbers(items(schema), element); err != nil {
				return nil, err
			}
		}
		return plain, nil
	case json.Number:
		return numeric(schema, value)
	default:
		return value, nil
	}
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
			value, err := decode(property.Default, name)
			if err != nil {
				return nil, fmt.Errorf("the default of configuration key %s: %w", name, err)
			}
			values[name] = value
		case isSection(property):
			nested, err := s.defaults(property)
			if err != nil {
				return nil, err
			}
			values[name] = nested
		}
	}
	return values, nil
}

// merge overlays values, which fit schema, with overlay, which is checked on the way. path is where both are.
func merge(schema *jsonschema.Schema, values, overlay map[string]any, path string) error {
	for _, name := range sortedKeys(overlay) {
		property, err := lookup(schema, name, path)
		if err != nil {
			return err
		}
		at := join(path, name)
		if err := check(property, overlay[name], at); err != nil {
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
