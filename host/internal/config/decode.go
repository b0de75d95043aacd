package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// readFile reads a configuration file by its extension, .toml or .json.
func readFile(path string) (map[string]any, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	raw = bytes.TrimPrefix(raw, []byte("\uFEFF")) // as some editors begin a file
	var value any
	switch filepath.Ext(path) {
	case ".json":
		value, err = decode(raw, "")
	case ".toml":
		value, err = decodeTOML(raw)
	default:
		err = errors.New("a configuration file ends in .toml or .json")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: want an object of configuration keys, got %s", path, typeOf(value))
	}
	return object, nil
}

// A notJSONError says that a text is no JSON value.
type notJSONError struct{ error }

// decode reads the JSON value of the configuration key path, which is empty for a whole configuration. Numbers stay as they
// are written: a float64 would lose 64-bit integers. What encoding/json changes in silence is an error: a key that an
// object has twice, bytes that are not UTF-8, and half of a surrogate pair.
func decode(raw []byte, path string) (any, error) {
	if err := json.Unmarshal(raw, new(json.RawMessage)); err != nil {
		return nil, notJSONError{fmt.Errorf("this is not JSON: %w", err)}
	}
	d := decoder{json.NewDecoder(bytes.NewReader(raw)), raw}
	d.UseNumber()
	return d.value(path)
}

// decoder reads JSON that is known to be well-formed.
type decoder struct {
	*json.Decoder
	raw []byte
}

func (d decoder) value(path string) (any, error) {
	token, err := d.token(path)
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		return d.array(path)
	case json.Delim('{'):
		return d.object(path)
	default:
		return token, nil
	}
}

func (d decoder) array(path string) (any, error) {
	array := []any{}
	for d.More() {
		element, err := d.value(index(path, len(array)))
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	_, err := d.Token()
	return array, err
}

func (d decoder) object(path string) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.token(path)
		if err != nil {
			return nil, err
		}
		name := token.(string)
		at := join(path, name)
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%s is given twice", keyText(at))
		}
		if object[name], err = d.value(at); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

// token is Decoder.Token, which turns text that is no Unicode into U+FFFD.
func (d decoder) token(path string) (json.Token, error) {
	start := d.InputOffset()
	token, err := d.Token()
	if _, ok := token.(string); err != nil || !ok {
		return token, err
	}
	literal := d.raw[start:d.InputOffset()]
	literal = literal[bytes.IndexByte(literal, '"'):] // behind a comma, a colon and white space
	if hasLoneSurrogate(literal) {
		return nil, fmt.Errorf("%s: text with half of a surrogate pair, which is no character: %s", keyText(path), shorten(string(literal)))
	}
	return token, checkUTF8(string(literal), path)
}

func checkUTF8(text, path string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s: text that is not UTF-8: %s", keyText(path), strconv.QuoteToASCII(shorten(text)))
	}
	return nil
}

// keyText names a configuration key in an error.
func keyText(path string) string {
	if path == "" {
		return "the configuration"
	}
	return "configuration key " + path
}

// hasLoneSurrogate says whether an escape in a JSON string, such as \ud800, is half of a surrogate pair.
func hasLoneSurrogate(literal []byte) bool {
	for i := 0; i < len(literal); i++ {
		if literal[i] != '\\' {
			continue
		}
		i++
		first, ok := escaped(literal[i:])
		if !ok || !utf16.IsSurrogate(first) {
			continue
		}
		i += len("uD800")
		if i >= len(literal) || literal[i] != '\\' {
			return true
		}
		second, ok := escaped(literal[i+1:])
		if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
			return true
		}
		i += len("uDC00")
	}
	return false
}

// escaped returns what an escape such as u00e9 stands for. Not ok: it is another one.
func escaped(text []byte) (r rune, ok bool) {
	if len(text) < len("u0000") || text[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[1:5]), 16, 16)
	return rune(n), err == nil
}

// maxShown is how many bytes of a value an error shows.
const maxShown = 100

// shorten cuts a text for an error.
func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:cut], len(text))
}
