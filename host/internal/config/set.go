package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// set puts what one -S says into the values that those before it gave. The text behind the dotted key is read as the
// schema's type wants it.
func (s *Schema) set(given map[string]any, set string) error {
	key, text, ok := strings.Cut(set, "=")
	if !ok {
		return errors.New("want key=value")
	}
	if err := checkUTF8(key, ""); err != nil {
		return err
	}
	if err := checkUTF8(text, key); err != nil {
		return err
	}
	schema, values, path := s.root, given, ""
	for rest := strings.Split(key, "."); ; {
		name, after := cutName(schema, rest)
		if name == "" && schema.Properties[name] == nil {
			return fmt.Errorf("a name in the key %q is empty: want key=value", key)
		}
		below, err := lookup(schema, name, path)
		if err != nil {
			return err
		}
		path = join(path, name)
		if len(after) == 0 {
			return setValue(below, values, name, text, path)
		}
		next, ok := values[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			values[name] = next
		}
		schema, values, rest = below, next, after
	}
}

// cutName returns the first name of a dotted path, and what comes behind it. The name of a property may have dots itself.
func cutName(schema *jsonschema.Schema, path []string) (name string, rest []string) {
	for n := len(path); n > 1; n-- {
		name = strings.Join(path[:n], ".")
		if schema.Properties[name] != nil {
			return name, path[n:]
		}
	}
	return path[0], path[1:]
}

// setValue puts the value that text stands for under a name.
func setValue(schema *jsonschema.Schema, values map[string]any, name, text, path string) error {
	value, err := parse(schema, text, path)
	if err != nil {
		return err
	}
	if err := check(schema, value, path); err != nil {
		return err
	}
	section, ok := value.(map[string]any)
	if !ok || !isSection(schema) {
		values[name] = value
		return nil
	}
	below, ok := values[name].(map[string]any)
	if !ok {
		below = map[string]any{}
		values[name] = below
	}
	return merge(schema, below, section, path)
}

// parse reads the text of a configuration key. Text that is no JSON stays text, which the check of the type then names.
func parse(schema *jsonschema.Schema, text, path string) (any, error) {
	if is(schema, "string") {
		return text, nil
	}
	value, err := decode([]byte(text), path)
	if _, ok := errors.AsType[notJSONError](err); ok {
		return text, nil
	}
	return value, err
}

// visible quotes a key that would not be seen as it is.
func visible(key string) string {
	if quoted := strconv.Quote(key); key == "" || quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

// keysListed is how many keys an error lists; `plugin describe` shows all.
const keysListed = 20

// lookup finds the schema of one key, or names the nearest that there is.
func lookup(schema *jsonschema.Schema, name, path string) (*jsonschema.Schema, error) {
	if property, ok := schema.Properties[name]; ok {
		return property, nil
	}
	if open := schema.AdditionalProperties; open != nil && !isFalse(open) {
		return open, nil // a map of values that all have this schema
	}
	known := sortedKeys(schema.Properties)
	if len(known) == 0 {
		return nil, fmt.Errorf("unknown configuration key %s: nothing can be set here", visible(join(path, name)))
	}
	nearest := slices.MinFunc(known, func(a, b string) int {
		return levenshtein.ComputeDistance(name, a) - levenshtein.ComputeDistance(name, b)
	})
	message := fmt.Sprintf("unknown configuration key %s", visible(join(path, name)))
	if levenshtein.ComputeDistance(name, nearest) <= max(2, len(name)/2) {
		message += fmt.Sprintf(": did you mean %s?", join(path, nearest))
	}
	return nil, fmt.Errorf("%s (known keys: %s)", message, exit.Few(known, keysListed))
}
