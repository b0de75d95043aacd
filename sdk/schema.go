package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"
)

// schemaOf makes the JSON Schema of a configuration: the type's, with defaults as the default of each property, no
// property required, and no other allowed.
func schemaOf[C any](defaults C) (json.RawMessage, error) {
	schema, err := inferSchema(defaults)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(schema)
	return exactLimits(raw), err
}

func inferSchema[C any](defaults C) (*jsonschema.Schema, error) {
	schema, err := typeSchema(defaults, nil)
	if err != nil {
		return nil, err
	}
	if _, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true}); err != nil {
		return nil, fmt.Errorf("the defaults of the configuration do not fit its type (a map must not be nil): %w", err)
	}
	// Only now with the ranges: to the validator, numbers are float64s, and so the largest int64 is beyond its own range.
	return typeSchema(defaults, ranges(reflect.TypeFor[C]()))
}

func typeSchema[C any](defaults C, known map[reflect.Type]*jsonschema.Schema) (*jsonschema.Schema, error) {
	schema, err := jsonschema.For[C](&jsonschema.ForOptions{TypeSchemas: known})
	if err != nil {
		return nil, fmt.Errorf("the configuration %T has no JSON Schema: %w", defaults, err)
	}
	if schema.Type != "object" {
		return nil, fmt.Errorf("the configuration %T is not a struct", defaults)
	}
	raw, err := json.Marshal(defaults)
	if err != nil {
		return nil, fmt.Errorf("the defaults of the configuration are not JSON: %w", err)
	}
	return schema, setDefaults(schema, raw)
}

// isSection says whether a property is a struct, whose own properties have the defaults. Any other value, a list or a
// map of structs too, has its default as a whole, so that within it a key may be required.
func isSection(property *jsonschema.Schema) bool {
	return property.Type == "object" && len(property.Properties) > 0
}

func setDefaults(section *jsonschema.Schema, object json.RawMessage) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(object, &values); err != nil {
		return err
	}
	section.Required = nil
	section.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}} // JSON Schema's false
	for name, property := range section.Properties {
		value, ok := values[name]
		if !ok {
			return fmt.Errorf("configuration key %s has no default: it must not be omitempty", name)
		}
		if !isSection(property) {
			property.Default = value
		} else if err := setDefaults(property, value); err != nil {
			return err
		}
	}
	return nil
}

// parseConfig reads a configuration over the defaults, and refuses a key that the type does not have. A value that is
// given replaces its default as a whole: a map is not merged with it.
func parseConfig[C any](defaults C, raw []byte) (C, error) {
	var config C
	schema, err := inferSchema(defaults)
	if err != nil {
		return config, err
	}
	whole, err := complete(schema, raw)
	if err != nil {
		return config, err
	}
	decoder := json.NewDecoder(bytes.NewReader(whole))
	decoder.DisallowUnknownFields() // within lists and maps
	err = decoder.Decode(&config)
	return config, err
}

// complete adds the defaults that an object leaves out. Keys are compared exactly, as encoding/json does not.
func complete(section *jsonschema.Schema, object json.RawMessage) (json.RawMessage, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(object, &values); err != nil {
		return nil, err
	}
	whole := map[string]json.RawMessage{}
	for name := range values {
		if section.Properties[name] == nil {
			return nil, fmt.Errorf("there is no configuration key %q", name)
		}
	}
	for name, property := range section.Properties {
		value, given := values[name]
		switch {
		case isSection(property):
			if !given {
				value = json.RawMessage("{}")
			}
			var err error
			if value, err = complete(property, value); err != nil {
				return nil, fmt.Errorf("in %s: %w", name, err)
			}
		case !given:
			value = property.Default
		}
		whole[name] = value
	}
	return json.Marshal(whole)
}
