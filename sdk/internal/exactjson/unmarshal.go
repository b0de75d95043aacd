package exactjson

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
)

// Unmarshal reads what Marshal wrote into what pointer points to, through the pointers that are set, so that whatever
// else points there sees it too. Its type must have passed Check. It fails, with the value in part overwritten, unless
// the text has just the fields of the type.
func Unmarshal(text []byte, pointer any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return set(reflect.ValueOf(pointer).Elem(), tree)
}

// set gives v the value that treeOf made the tree of.
func set(v reflect.Value, tree any) error {
	t := v.Type()
	kind := t.Kind()
	if tree == nil && isNilable(t) {
		v.SetZero()
		return nil
	}
	switch {
	case kind == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		return set(v.Elem(), tree)
	case hasBinary(t), hasText(t), isBytes(t):
		return setEncoded(v, tree)
	}
	switch tree := tree.(type) {
	case bool:
		if kind == reflect.Bool {
			v.SetBool(tree)
			return nil
		}
	case string:
		if kind == reflect.String {
			v.SetString(tree)
			return nil
		}
		return setNotFinite(v, tree)
	case json.Number:
		return setNumber(v, tree.String())
	case map[string]any:
		switch kind {
		case reflect.Map:
			return setMap(v, tree)
		case reflect.Struct:
			return setStruct(v, tree)
		}
	case []any:
		if kind == reflect.Array || kind == reflect.Slice {
			return setList(v, tree)
		}
	}
	return mismatch(v, tree)
}

func mismatch(v reflect.Value, tree any) error {
	text, _ := json.Marshal(tree)
	return fmt.Errorf("%.100s is no %s", text, v.Type())
}

func setEncoded(v reflect.Value, tree any) error {
	text, ok := tree.(string)
	if !ok {
		return mismatch(v, tree)
	}
	if hasText(v.Type()) && !hasBinary(v.Type()) {
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if hasBinary(v.Type()) {
		return v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(data)
	}
	v.SetBytes(data)
	return nil
}

func setNotFinite(v reflect.Value, text string) error {
	values := map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}
	value, ok := values[text]
	if !ok || !v.CanFloat() {
		return mismatch(v, text)
	}
	v.SetFloat(value)
	return nil
}

func setNumber(v reflect.Value, text string) error {
	bits := 0
	if v.CanInt() || v.CanUint() || v.CanFloat() {
		bits = v.Type().Bits()
	}
	var err error
	switch {
	case v.CanInt():
		var n int64
		n, err = strconv.ParseInt(text, 10, bits)
		v.SetInt(n)
	case v.CanUint():
		var n uint64
		n, err = strconv.ParseUint(text, 10, bits)
		v.SetUint(n)
	case v.CanFloat():
		var f float64
		f, err = strconv.ParseFloat(text, bits)
		v.SetFloat(f)
	default:
		return mismatch(v, json.Number(text))
	}
	if err != nil {
		return fmt.Errorf("%s is no %s", text, v.Type())
	}
	return nil
}

func setMap(v reflect.Value, tree map[string]any) error {
	t := v.Type()
	v.Set(reflect.MakeMapWithSize(t, len(tree)))
	for name, inner := range tree {
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if key.Kind() == reflect.String {
			key.SetString(name)
		} else if err := setNumber(key, name); err != nil {
			return err
		}
		if err := set(value, inner); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

func setStruct(v reflect.Value, tree map[string]any) error {
	known := map[string]bool{}
	for _, f := range fieldsOf(v.Type()) {
		known[f.name] = true
		inner, ok := tree[f.name]
		if !ok {
			return fmt.Errorf("there is no value for the field %s", f.name)
		}
		if err := set(v.Field(f.index), inner); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for name := range tree {
		if !known[name] {
			return fmt.Errorf("there is a value for %s, and no such field in %s", name, v.Type())
		}
	}
	return nil
}

func setList(v reflect.Value, tree []any) error {
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(tree), len(tree)))
	} else if len(tree) != v.Len() {
		return fmt.Errorf("it has %d elements, and %s has %d", len(tree), v.Type(), v.Len())
	}
	for i, inner := range tree {
		if err := set(v.Index(i), inner); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}
