package exactjson

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// maxDepth ends the writing of a value that contains itself; no honest value is as deep.
const maxDepth = 1000

// Marshal writes what pointer points to. The same value gives the same bytes. Its type must have passed Check.
func Marshal(pointer any) ([]byte, error) {
	tree, err := treeOf(reflect.ValueOf(pointer).Elem(), 0)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(tree, "", "  ") // which sorts the keys of maps
	return append(text, '\n'), err
}

// treeOf turns a value into what encoding/json writes without loss: maps, slices, strings, booleans and json.Numbers.
func treeOf(v reflect.Value, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the value is more than %d levels deep: does it contain itself?", maxDepth)
	}
	t := v.Type()
	if isNilable(t) && v.IsNil() {
		return nil, nil
	}
	switch kind := t.Kind(); {
	case kind == reflect.Pointer:
		return treeOf(v.Elem(), depth+1)
	case hasBinary(t):
		data, err := addressOf(v).(encoding.BinaryMarshaler).MarshalBinary()
		return base64.StdEncoding.EncodeToString(data), err
	case hasText(t):
		text, err := addressOf(v).(encoding.TextMarshaler).MarshalText()
		return string(text), err
	case isBytes(t):
		return base64.StdEncoding.EncodeToString(v.Bytes()), nil
	case kind == reflect.Bool:
		return v.Bool(), nil
	case kind == reflect.String:
		if !utf8.ValidString(v.String()) {
			return nil, fmt.Errorf("the text %q is no UTF-8: keep it as []byte", v.String())
		}
		return v.String(), nil
	case v.CanInt():
		return json.Number(strconv.FormatInt(v.Int(), 10)), nil
	case v.CanUint():
		return json.Number(strconv.FormatUint(v.Uint(), 10)), nil
	case v.CanFloat():
		return floatTree(v.Float(), t.Bits()), nil
	case kind == reflect.Map:
		return mapTree(v, depth)
	case kind == reflect.Struct:
		return structTree(v, depth)
	default: // an array or a slice
		return listTree(v, depth)
	}
}

func floatTree(f float64, bits int) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, bits)) // the shortest that is read as the same
}

func mapTree(v reflect.Value, depth int) (any, error) {
	tree := make(map[string]any, v.Len())
	for entries := v.MapRange(); entries.Next(); {
		key := entries.Key()
		name := key.String()
		if key.CanInt() {
			name = strconv.FormatInt(key.Int(), 10)
		} else if !utf8.ValidString(name) {
			return nil, fmt.Errorf("the key %q is no UTF-8", name)
		}
		var err error
		if tree[name], err = treeOf(entries.Value(), depth+1); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

func structTree(v reflect.Value, depth int) (any, error) {
	tree := map[string]any{}
	for _, f := range fieldsOf(v.Type()) {
		var err error
		if tree[f.name], err = treeOf(v.Field(f.index), depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return tree, nil
}

func listTree(v reflect.Value, depth int) (any, error) {
	tree := make([]any, v.Len())
	for i := range tree {
		var err error
		if tree[i], err = treeOf(v.Index(i), depth+1); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return tree, nil
}

// addressOf returns a pointer to the value, or to a copy of one that has no address, such as an element of a map.
func addressOf(v reflect.Value) any {
	if !v.CanAddr() {
		copied := reflect.New(v.Type())
		copied.Elem().Set(v)
		return copied.Interface()
	}
	return v.Addr().Interface()
}
