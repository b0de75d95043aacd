package gomlx

import (
	"errors"
	"fmt"
	"io"
	"os"
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
	s.loaded = &loaded{variables: make(map[string]loadedVariable, len(values)), partial: described.old}
	s.training.uses, s.training.several = map[string]bool{}, described.several
	if described.old {
		fmt.Fprintln(os.Stderr, "mtt: the checkpoint was saved by an older sdk/gomlx, which left out the learning rate and the metrics: they begin as configured")
	}
	s.loss = described.loss
	s.changed = described.params
	s.restoreParams()
	for rank, variable := range described.variables {
		value := values[variable.Path]
		s.loaded.variables[variable.Path] = loadedVariable{variable, rank, value.digest}
		if variable.Step || described.old {
			s.training.uses[variable.Path] = true
		}
		if err := s.restore(variable, value.tensor); err != nil {
			return fmt.Errorf("variable %s: %w", variable.Path, err)
		}
	}
	return nil
}

// content is what a blob has of a variable.
type content struct {
	tensor *tensors.Tensor
	digest uint64
}

// read reads the whole blob, so that nothing is restored unless all of it is good.
func (s *State) read(from sdk.CheckpointReader) (described metadata, values map[string]content, err error) {
	blobs := from.Blobs()
	i := slices.IndexFunc(blobs, func(blob sdk.Blob) bool { return blob.Name == s.blob })
	if i < 0 {
		return described, nil, fmt.Errorf("the checkpoint has no blob %s: it holds no such GoMLX state", s.blob)
	}
	blob, err := from.Open(s.blob)
	if err != nil {
		return described, nil, err
	}
	defer blob.Close()
	header, encoded, err := safetensors.ReadHeader(blob, blobs[i].Size)
	if err != nil {
		return described, nil, err
	}
	if described, err = decodeMetadata(encoded, header); err != nil {
		return described, nil, err
	}
	values = make(map[string]content, len(header))
	for _, tensor := range header {
		if values[tensor.Name], err = s.readValue(blob, tensor); err != nil {
			return described, nil, fmt.Errorf("variable %s: %w", tensor.Name, err)
		}
	}
	// To the end, since only there the blob's checksum is known to be right.
	n, err := io.Copy(io.Discard, blob)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d bytes follow the last tensor", n)
	}
	return described, values, err
}

func (s *State) readValue(from io.Reader, described safetensors.Tensor) (c content, err error) {
	dtype, ok := dtypeOf(described.DType)
	if !ok {
		return c, fmt.Errorf("unknown type %s", described.DType)
	}
	shape := shapes.Make(dtype)
	for _, dimension := range described.Shape {
		shape.Dimensions = append(shape.Dimensions, int(dimension))
	}
	if c.tensor, err = tensors.FromShapeForBackend(s.backend, 0, shape); err != nil {
		return c, err
	}
	var failed error
	err = c.tensor.MutableBytes(func(data []byte) {
		_, failed = io.ReadFull(from, data)
		c.digest = digestOf(data)
	})
	return c, errors.Join(err, failed)
}

func (s *State) restore(described variableInfo, value *tensors.Tensor) error {
	if isMetric(described.Path) { // its path in this process is not known yet
		s.waiting.values[described.Path] = value
		return nil
	}
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
