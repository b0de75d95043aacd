package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema is the configuration schema of one experiment.
type Schema struct {
	root     *jsonschema.Schema
	resolved *jsonschema.Resolved
}

// ParseSchema reads a plugin's JSON Schema: an object that has a default for each of its properties and admits no others,
// and so has a section, which is a property that has properties. An error is the plugin's fault.
func ParseSchema(raw []byte) (*Schema, error) {
	if _, err := decode(raw, ""); err != nil {
		return nil, fmt.Errorf("its configuration schema: %w", err)
	}
	root := new(jsonschema.Schema)
	if err := json.Unmarshal(raw, root); err != nil {
		return nil, fmt.Errorf("its configuration schema is not a JSON Schema: %w", err)
	}
	if !isObject(root) {
		return nil, errors.New("its configuration schema does not describe an object")
	}
	s := &Schema{root: root}
	if err := checkReferences(root, root, map[*jsonschema.Schema]bool{}); err != nil {
		return nil, fmt.Errorf("its configuration schema is not valid: %w", err)
	}
	var err error
	if s.resolved, err = root.Resolve(nil); err != nil {
		return nil, fmt.Errorf("its configuration schema is not valid: %w", err)
	}
	if err := s.checkDefaults(); err != nil {
		return nil, fmt.Errorf("its configuration schema: %w", err)
	}
	return s, nil
}

// checkDefaults holds that the defaults are a configuration.
func (s *Schema) checkDefaults() error {
	values, err := s.defaults(s.root)
	if err == nil {
		err = check(s.root, values, "")
	}
	if err == nil {
		err = checkSection(s.root, values, "")
	}
	if err == nil {
		_, err = s.finish(values)
	}
	return err
}

// checkSection holds that a section has a value for each of its keys, and admits no others.
func checkSection(section *jsonschema.Schema, values map[string]any, path string) error {
	if !isFalse(section.AdditionalProperties) || len(section.PatternProperties) > 0 {
		return fmt.Errorf(`%s admits keys that are none of its properties; want "additionalProperties": false`, keyText(path))
	}
	for _, name := range sortedKeys(section.Properties) {
		at := join(path, name)
		if name == "" || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("%q cannot be a configuration key", at)
		}
		value, ok := values[name]
		if !ok {
			return fmt.Errorf("configuration key %s has no default", at)
		}
		if property := section.Properties[name]; isSection(property) {
			if err := checkSection(property, value.(map[string]any), at); err != nil {
				return err
			}
		}
	}
	return nil
}

// isSection says whether a property is an object whose own properties are configuration keys.
func isSection(property *jsonschema.Schema) bool {
	return isObject(property) && len(property.Properties) > 0
}

// isObject says whether a schema admits objects and nothing else.
func isObject(schema *jsonschema.Schema) bool { return slices.Equal(types(schema), []string{"object"}) }

// isFalse says whether a schema is JSON Schema's false, which admits nothing.
func isFalse(schema *jsonschema.Schema) bool {
	return schema != nil && schema.Not != nil && reflect.ValueOf(*schema.Not).IsZero()
}

// checkReferences refuses a schema below root that refers to itself, by which a check of a value would never end, and a
// reference that is not to one of root's definitions. done are the schemas that were looked at, and true while they are.
func checkReferences(root, schema *jsonschema.Schema, done map[*jsonschema.Schema]bool) error {
	if looking, known := done[schema]; known && looking {
		return errors.New("it refers to itself")
	} else if schema == nil || known {
		return nil
	}
	done[schema] = true
	defer func() { done[schema] = false }()
	if schema.DynamicRef != "" {
		return errors.New("it has a $dynamicRef")
	}
	for below := range subschemas(schema) {
		if err := checkReferences(root, below, done); err != nil {
			return err
		}
	}
	if schema.Ref == "" {
		return nil
	}
	name, ok := strings.CutPrefix(schema.Ref, "#/$defs/")
	target := root.Defs[name]
	if !ok || target == nil {
		return fmt.Errorf("it refers to %q; want a name of its $defs", shorten(schema.Ref))
	}
	return checkReferences(root, target, done)
}

// subschemas are the schemas that are part of a schema.
func subschemas(schema *jsonschema.Schema) iter.Seq[*jsonschema.Schema] {
	return func(yield func(*jsonschema.Schema) bool) {
		for _, field := range reflect.ValueOf(schema).Elem().Fields() {
			switch value := field.Interface().(type) {
			case *jsonschema.Schema:
				if !yield(value) {
					return
				}
			case []*jsonschema.Schema:
				for _, below := range value {
					if !yield(below) {
						return
					}
				}
			case map[string]*jsonschema.Schema:
				for _, below := range value {
					if !yield(below) {
						return
					}
				}
			}
		}
	}
}
