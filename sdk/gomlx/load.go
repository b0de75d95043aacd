package gomlx

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// Load restores the state into the store. It must come before any graph was built on it: GoMLX gives a variable that a
// graph asks for the value that is there, and would not see one that comes later.
func (s *State) Load(from sdk.CheckpointReader) error {
	for variable := range s.store.IterVariables() {
		if variable.Path() != randomPath {
			return fmt.Errorf("the state was loaded after variable %s was made: call run.Resume before anything is built on the store", variable.Path())
		}
	}
	described, values, err := s.read(from)
	if err != nil {
		return err
	}
	s.loaded = make(map[string]bool, len(described))
	for _, variable := range described {
		if err := s.restore(variable, values[variable.Path]); err != nil {
			return fmt.Errorf("variable %s: %w", variable.Path, err)
		}
		s.loaded[variable.Path] = true
	}
	return nil
}

// read reads the whole blob, so that nothing is restored unless all of it is good.
func (s *State) read(from sdk.CheckpointReader) (described []variableInfo, values map[string]*tensors.Tensor, err error) {
	i := slices.IndexFunc(from.Blobs(), func(blob sdk.Blob) bool { return blob.Name == blobName })
	if i < 0 {
		return nil, nil, fmt.Errorf("the checkpoint has no blob %s: it holds no GoMLX state", blobName)
	}
	blob, err := from.Open(blobName)
	if err != nil {
		return nil, nil, err
	}
	defer blob.Close()
	header, metadata, err := safetensors.ReadHeader(blob, from.Blobs()[i].Size)
	if err != nil {
		return nil, nil, err
	}
	if described, err = decodeMetadata(metadata, header); err != nil {
		return nil, nil, err
	}
	values = make(map[string]*tensors.Tensor, len(header))
	for _, tensor := range header {
		if values[tensor.Name], err = s.readValue(blob, tensor); err != nil {
			return nil, nil, fmt.Errorf("variable %s: %w", tensor.Name, err)
		}
	}
	// To the end, since only there the blob's checksum is known to be right.
	n, err := io.Copy(io.Discard, blob)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d bytes follow the last tensor", n)
	}
	return described, values, err
}

func (s *State) readValue(from io.Reader, described safetensors.Tensor) (*tensors.Tensor, error) {
	dtype, ok := dtypeOf(described.DType)
	if !ok {
		return nil, fmt.Errorf("unknown type %s", described.DType)
	}
	shape := shapes.Make(dtype)
	for _, dimension := range described.Shape {
		shape.Dimensions = append(shape.Dimensions, int(dimension))
	}
	value, err := tensors.FromShapeForBackend(s.backend, 0, shape)
	if err != nil {
		return nil, err
	}
	var readErr error
	err = value.MutableBytes(func(data []byte) { _, readErr = io.ReadFull(from, data) })
	return value, errors.Join(err, readErr)
}

func (s *State) restore(described variableInfo, value *tensors.Tensor) error {
	if described.Path == randomPath { // NewState has made it
		random := s.store.GetVariable(randomPath)
		if !random.Shape().Equal(value.Shape()) {
			return fmt.Errorf("it has shape %s in the checkpoint, and %s here", value.Shape(), random.Shape())
		}
		return random.SetValue(value)
	}
	variable, err := s.store.CreateVariable(described.Path, value)
	if err != nil {
		return err
	}
	// GoMLX makes a variable that comes with a value trainable, whatever it was.
	variable.SetTrainable(described.Trainable)
	return nil
}
