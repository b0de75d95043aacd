package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// schemaOf makes the JSON Schema of a configuration: the type's, with defaults as the default of each property, no
// property required, and no other allowed.
func schemaOf[C any](defaults C) (json.RawMessage, error) {
	schema, err := jsonschema.For[C](nil)
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
	if err := setDefaults(schema, raw); err != nil {
		return nil, err
	}
	return json.Marshal(schema)
}

func setDefaults(schema *jsonschema.Schema, object json.RawMessage) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(object, &values); err != nil {
		return err
	}
	schema.Required = nil
	schema.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	for name, property := range schema.Properties {
		value, ok := values[name]
		if !ok {
			return fmt.Errorf("configuration key %s has no default: it must not be omitempty", name)
		}
		if property.Type == "object" && len(property.Properties) > 0 {
			if err := setDefaults(property, value); err != nil {
				return err
			}
			continue
		}
		property.Default = value
	}
	return nil
}

// parseConfig reads a configuration over the defaults, and refuses a key that the type does not have.
func parseConfig[C any](defaults C, raw []byte) (C, error) {
	config := defaults
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&config)
	return config, err
}
