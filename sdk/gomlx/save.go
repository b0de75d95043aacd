package gomlx

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// blobName is the one blob that State makes in a checkpoint.
const blobName = "state.safetensors"

// Save writes the state as one safetensors blob, its tensors sorted by name, each straight from where it is: there is
// no second copy of the model.
func (s *State) Save(to sdk.CheckpointWriter) error {
	if s.graph == nil {
		// No step was made, so what the model has beyond the checkpoint was not found by Loop, and is not trained.
		if missing := s.missing(); len(missing) > 0 {
			return fmt.Errorf("the checkpoint that was loaded is not of this model: it has no %s", strings.Join(missing, ", "))
		}
	}
	variables := s.variables()
	metadata, err := encodeMetadata(variables)
	if err != nil {
		return err
	}
	slices.SortFunc(variables, func(a, b *model.Variable) int { return strings.Compare(a.Path(), b.Path()) })
	described := make([]safetensors.Tensor, len(variables))
	for i, variable := range variables {
		if described[i], err = describe(variable); err != nil {
			return err
		}
	}
	header, err := safetensors.EncodeHeader(described, metadata)
	if err != nil {
		return err
	}
	blob, err := to.Create(blobName)
	if err != nil {
		return err
	}
	if _, err := blob.Write(header); err != nil {
		return err
	}
	for _, variable := range variables {
		if err := writeValue(blob, variable); err != nil {
			return fmt.Errorf("variable %s: %w", variable.Path(), err)
		}
	}
	return nil
}

func describe(variable *model.Variable) (safetensors.Tensor, error) {
	shape := variable.Shape()
	dtype, ok := safetensorsTypes[shape.DType]
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("variable %s has type %s, which a checkpoint cannot hold", variable.Path(), shape.DType)
	}
	described := safetensors.Tensor{Name: variable.Path(), DType: dtype}
	for _, dimension := range shape.Dimensions {
		described.Shape = append(described.Shape, int64(dimension))
	}
	return described, nil
}

func writeValue(to io.Writer, variable *model.Variable) error {
	value, err := variable.Value()
	if err != nil {
		return err
	}
	wasLocal := value.IsLocal()
	var writeErr error
	err = value.ConstBytes(func(data []byte) { _, writeErr = to.Write(data) })
	if !wasLocal {
		value.FinalizeLocal() // or the model would stay in host memory too
	}
	return errors.Join(err, writeErr)
}
