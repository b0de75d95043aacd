package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/pelletier/go-toml/v2"
)

// decodeTOML reads TOML into the values that decode returns for JSON.
func decodeTOML(raw []byte) (any, error) {
	var table map[string]any
	if err := toml.Unmarshal(raw, &table); err != nil {
		if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
			return nil, fmt.Errorf("this is not TOML:\n%s", syntax.String())
		}
		return nil, fmt.Errorf("this is not TOML: %w", err)
	}
	if table == nil { // an empty file
		return map[string]any{}, nil
	}
	return fromTOML(table, "")
}

// fromTOML converts the value of a configuration key. A date becomes text.
func fromTOML(value any, path string) (_ any, err error) {
	switch value := value.(type) {
	case map[string]any:
		for name, element := range value {
			if value[name], err = fromTOML(element, join(path, name)); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, element := range value {
			if value[i], err = fromTOML(element, index(path, i)); err != nil {
				return nil, err
			}
		}
	case int64:
		return json.Number(strconv.FormatInt(value, 10)), nil
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, fmt.Errorf("configuration key %s: a configuration is JSON, which has no %v", path, value)
		}
		return json.Number(strconv.FormatFloat(value, 'g', -1, 64)), nil
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		return string(text), err
	}
	return value, nil
}
