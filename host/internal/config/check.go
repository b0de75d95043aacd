package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// check refuses a value that has another type than its schema wants, or is beyond its limits, and names its key.
func check(schema *jsonschema.Schema, value any, path string) error {
	if err := checkType(schema, value); err != nil {
		return fmt.Errorf("%s: %w", keyText(path), err)
	}
	switch value := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(value) {
			if err := check(property(schema, name), value[name], join(path, name)); err != nil {
				return err
			}
		}
	case []any:
		for i, element := range value {
			if err := check(items(schema), element, index(path, i)); err != nil {
				return err
			}
		}
	case json.Number:
		if err := checkNumber(schema, value); err != nil {
			return fmt.Errorf("%s: %w", keyText(path), err)
		}
	}
	return nil
}

func checkType(schema *jsonschema.Schema, value any) error {
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
	return fmt.Errorf("want %s, got %s %s", strings.Join(want, " or "), got, shorten(string(shown)))
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

// types are those that a schema allows; none where it says nothing.
func types(schema *jsonschema.Schema) []string {
	switch {
	case schema == nil:
		return nil
	case schema.Type != "":
		return []string{schema.Type}
	default:
		return schema.Types
	}
}

func is(schema *jsonschema.Schema, name string) bool { return slices.Contains(types(schema), name) }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
