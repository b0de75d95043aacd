package gomlx

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/mtt-project/mtt/sdk/internal/exactjson"
)

// params are hyperparameters by path. They are configuration, which each attempt sets by itself, but for those that change
// once the training step was built: what is built later depends on them.
type params map[string]any

func (s *State) params() params {
	all := params{}
	for path, value := range s.store.IterParams() {
		all[path] = value
	}
	return all
}

// observeParams adds to the state the hyperparameters that differ from those by which the training step was first built.
func (s *State) observeParams() {
	for path, value := range s.params() {
		first, ok := s.configured[path]
		_, known := s.changed[path]
		if known || s.configured != nil && !(ok && reflect.DeepEqual(first, value)) {
			s.changed[path] = value
		}
	}
}

// restoreParams sets the hyperparameters that the checkpoint has.
func (s *State) restoreParams() {
	for path, value := range s.changed {
		s.store.SetParam(path, value)
	}
}

// checkParams fails if hyperparameters of the checkpoint were set to something else.
func (s *State) checkParams() error {
	now := s.params()
	for _, path := range slices.Sorted(maps.Keys(s.changed)) {
		if !reflect.DeepEqual(now[path], s.changed[path]) {
			return fmt.Errorf("hyperparameter %s was %v in the checkpoint, and set to %v behind run.Resume, so the run would not go on as it was: set it before", path, s.changed[path], now[path])
		}
	}
	return nil
}

// paramInfo is a hyperparameter in a checkpoint.
type paramInfo struct {
	Path  string `json:"path"`
	Type  string `json:"type"`  // a key of paramTypes
	Value string `json:"value"` // as exactjson writes it
}

// paramTypes are those of the hyperparameters that can be state, as fmt's %T names them.
var paramTypes = map[string]reflect.Type{}

func init() {
	for _, value := range []any{false, "", 0, int32(0), int64(0), float32(0), 0.0, []int{}, []string{}, []float64{}} {
		paramTypes[fmt.Sprintf("%T", value)] = reflect.TypeOf(value)
	}
}

// encode writes a JSON array of paramInfos.
func (p params) encode() (string, error) {
	var infos []paramInfo
	for _, path := range slices.Sorted(maps.Keys(p)) {
		info := paramInfo{Path: path, Type: fmt.Sprintf("%T", p[path])}
		if paramTypes[info.Type] == nil {
			return "", fmt.Errorf("hyperparameter %s was changed while training, and a %s cannot be saved: set it before the first step", path, info.Type)
		}
		value := reflect.New(paramTypes[info.Type])
		value.Elem().Set(reflect.ValueOf(p[path]))
		text, err := exactjson.Marshal(value.Interface())
		if err != nil {
			return "", fmt.Errorf("hyperparameter %s: %w", path, err)
		}
		info.Value = string(text)
		infos = append(infos, info)
	}
	text, err := json.Marshal(infos)
	return string(text), err
}

// decodeParams reads the JSON of paramInfos; nothing is none.
func decodeParams(text string) (params, error) {
	p := params{}
	if text == "" {
		return p, nil
	}
	var infos []paramInfo
	if err := json.Unmarshal([]byte(text), &infos); err != nil {
		return nil, fmt.Errorf("the state's hyperparameters are not valid: %w", err)
	}
	for _, info := range infos {
		if paramTypes[info.Type] == nil {
			return nil, fmt.Errorf("hyperparameter %s has the unknown type %q", info.Path, info.Type)
		}
		value := reflect.New(paramTypes[info.Type])
		if err := exactjson.Unmarshal([]byte(info.Value), value.Interface()); err != nil {
			return nil, fmt.Errorf("hyperparameter %s: %w", info.Path, err)
		}
		p[info.Path] = value.Elem().Interface()
	}
	return p, nil
}
