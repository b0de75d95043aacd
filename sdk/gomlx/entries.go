package gomlx

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// entry is one variable of the state.
type entry struct {
	name     string          // in checkpoints
	variable *model.Variable // nil as long as the value waits
	value    *tensors.Tensor // that waits
}

// entries lists the state, in the order in which its variables were made; those of the checkpoint in the order that it
// names, since some of them may have been deleted and made again.
func (s *State) entries() []entry {
	var entries []entry
	for variable := range s.store.IterVariables() {
		if name, ok := s.metrics.name(variable.Path()); ok {
			entries = append(entries, entry{name: name, variable: variable})
		}
	}
	for name, value := range s.waiting.values {
		entries = append(entries, entry{name: name, value: value})
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(s.loaded.rank(a.name), s.loaded.rank(b.name)) })
	return entries
}

func (s *State) describe(e entry) variableInfo {
	info := variableInfo{Path: e.name, Step: s.training.uses[e.name]}
	if e.variable == nil {
		info.Trainable = s.loaded.variables[e.name].Trainable
	} else {
		info.Trainable = e.variable.Trainable
	}
	return info
}

func (e entry) tensor() (safetensors.Tensor, error) {
	shape := e.shape()
	dtype, ok := safetensorsTypes[shape.DType]
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("variable %s has type %s, which a checkpoint cannot hold", e.name, shape.DType)
	}
	described := safetensors.Tensor{Name: e.name, DType: dtype}
	for _, dimension := range shape.Dimensions {
		described.Shape = append(described.Shape, int64(dimension))
	}
	return described, nil
}

func (e entry) shape() shapes.Shape {
	if e.variable == nil {
		return e.value.Shape()
	}
	return e.variable.Shape()
}

// read calls f with the bytes of the value, from where it is.
func (e entry) read(f func(data []byte) error) error {
	value := e.value
	if e.variable != nil {
		var err error
		if value, err = e.variable.Value(); err != nil {
			return err
		}
	}
	if value.Shape().IsZeroSize() {
		return f(nil)
	}
	wasLocal := value.IsLocal()
	var failed error
	err := value.ConstBytes(func(data []byte) { failed = f(data) })
	if !wasLocal {
		value.FinalizeLocal() // or the model would stay in host memory too
	}
	return errors.Join(err, failed)
}
