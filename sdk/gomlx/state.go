// Package gomlx brings the training state of a GoMLX model in and out of mtt's checkpoints, and trains in a loop that
// can stop at any step and go on as if it had not.
//
// An experiment makes a Store, gives its State to run.Resume before anything else is built on it, wraps its optimizer
// with State.Watch, and trains with a Loop:
//
//	store := model.NewStore()
//	state, err := gomlx.NewState(backend, store, run.Seed())
//	step, err := run.Resume(state)
//	trainer := train.NewTrainer(backend, store, modelFn, lossFn, state.Watch(optimizer.Adam().Done()), nil, nil)
//	err = gomlx.Loop{Run: run, State: state, Trainer: trainer, Steps: 1000, Batch: batch}.Train(step)
package gomlx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// blobName is the one blob of a checkpoint.
const blobName = "state.safetensors"

// State is everything in a Store that the next training step depends on: parameters, optimizer moments, counters, the
// state of the random numbers, and which variables are trainable. It implements sdk.State.
type State struct {
	backend compute.Backend
	store   *model.Store
	loaded  map[string]bool // paths of the variables that came from a checkpoint; nil if there was none
	graph   *graph.Graph    // of the training step, once it was built
}

var _ sdk.State = (*State)(nil)

// NewState makes the state of a new, empty store, whose random numbers, those of the initial parameters and of dropout
// among them, follow from seed.
func NewState(backend compute.Backend, store *model.Store, seed int64) (*State, error) {
	if n := store.NumVariables(); n > 0 {
		return nil, fmt.Errorf("the store has %d variables already: make its state first", n)
	}
	if err := store.SetRNGStateFromSeed(seed); err != nil {
		return nil, fmt.Errorf("cannot seed the random numbers: %w", err)
	}
	return &State{backend: backend, store: store}, nil
}

// notState says which variables are left out of a checkpoint: metrics, which GoMLX names at random; the learning rate,
// which the optimizer makes anew from its configuration; and the trainer's own note of the last step it saw.
func notState(path string) bool {
	return strings.Contains(path+"/", "/metrics/") || path == "/optimizers/learning_rate" || path == "/trainer/train_last_global_step"
}

func (s *State) variables() []*model.Variable {
	var variables []*model.Variable
	for variable := range s.store.IterVariables() {
		if !notState(variable.Path()) {
			variables = append(variables, variable)
		}
	}
	slices.SortFunc(variables, func(a, b *model.Variable) int { return strings.Compare(a.Path(), b.Path()) })
	return variables
}

// Save writes the state as one safetensors blob, its tensors sorted by name, each straight from where it is: there is
// no second copy of the model.
func (s *State) Save(to sdk.CheckpointWriter) error {
	variables := s.variables()
	described := make([]safetensors.Tensor, len(variables))
	var frozen []string
	for i, variable := range variables {
		shape := variable.Shape()
		dtype, ok := safetensorsTypes[shape.DType]
		if !ok {
			return fmt.Errorf("variable %s has type %s, which a checkpoint cannot hold", variable.Path(), shape.DType)
		}
		described[i] = safetensors.Tensor{Name: variable.Path(), DType: dtype, Shape: dimensions(shape)}
		if !variable.Trainable {
			frozen = append(frozen, variable.Path())
		}
	}
	metadata, err := encodeMetadata(frozen)
	if err != nil {
		return err
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
		if err := writeVariable(blob, variable); err != nil {
			return fmt.Errorf("variable %s: %w", variable.Path(), err)
		}
	}
	return nil
}

func writeVariable(to io.Writer, variable *model.Variable) error {
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

// Load restores the state into the store, before any graph was built on it: a variable that a graph makes takes the
// value that is there, and one that comes later would not be seen.
func (s *State) Load(from sdk.CheckpointReader) error {
	if s.graph != nil {
		return errors.New("the state was loaded after the first graph was built: call run.Resume before the first training step")
	}
	for variable := range s.store.IterVariables() {
		if variable.Name() != model.RNGStateVariableName {
			return fmt.Errorf("the state was loaded after variable %s was made: call run.Resume before anything is built on the store", variable.Path())
		}
	}
	blob, err := from.Open(blobName)
	if err != nil {
		return err
	}
	defer blob.Close()
	described, metadata, err := safetensors.ReadHeader(blob)
	if err != nil {
		return err
	}
	frozen, err := decodeMetadata(metadata)
	if err != nil {
		return err
	}
	s.loaded = make(map[string]bool, len(described))
	for _, tensor := range described {
		if err := s.readVariable(blob, tensor, !slices.Contains(frozen, tensor.Name)); err != nil {
			return fmt.Errorf("variable %s: %w", tensor.Name, err)
		}
		s.loaded[tensor.Name] = true
	}
	// To the end, since only there the blob's checksum is known to be right.
	if n, err := io.Copy(io.Discard, blob); err != nil || n > 0 {
		return errors.Join(err, fmt.Errorf("%d bytes follow the last tensor", n))
	}
	return nil
}

func (s *State) readVariable(from io.Reader, described safetensors.Tensor, trainable bool) error {
	dtype, ok := dtypeOf(described.DType)
	if !ok {
		return fmt.Errorf("unknown type %s", described.DType)
	}
	shape := shapes.Make(dtype)
	for _, dimension := range described.Shape {
		shape.Dimensions = append(shape.Dimensions, int(dimension))
	}
	value, err := tensors.FromShapeForBackend(s.backend, 0, shape)
	if err != nil {
		return err
	}
	var readErr error
	err = value.MutableBytes(func(data []byte) { _, readErr = io.ReadFull(from, data) })
	if err := errors.Join(err, readErr); err != nil {
		return err
	}
	variable := s.store.GetVariable(described.Name)
	if variable != nil { // the random state, which NewState has made
		err = variable.SetValue(value)
	} else {
		variable, err = s.store.CreateVariable(described.Name, value)
	}
	if err != nil {
		return err
	}
	// GoMLX makes a variable that comes with a value trainable; the optimizer would then train even the random state.
	variable.SetTrainable(trainable)
	return nil
}

func dimensions(shape shapes.Shape) []int64 {
	dimensions := make([]int64, len(shape.Dimensions))
	for i, dimension := range shape.Dimensions {
		dimensions[i] = int64(dimension)
	}
	return dimensions
}

// The metadata of the blob.
const (
	metadataFormat = "format" // formatName
	metadataFrozen = "frozen" // JSON array of the variables that are not trainable, sorted
	formatName     = "mtt-gomlx/1"
)

func encodeMetadata(frozen []string) (map[string]string, error) {
	list, err := json.Marshal(append([]string{}, frozen...))
	return map[string]string{metadataFormat: formatName, metadataFrozen: string(list)}, err
}

func decodeMetadata(metadata map[string]string) (frozen []string, err error) {
	if metadata[metadataFormat] != formatName {
		return nil, fmt.Errorf("the state has format %q, and this build reads %q", metadata[metadataFormat], formatName)
	}
	if err := json.Unmarshal([]byte(metadata[metadataFrozen]), &frozen); err != nil {
		return nil, fmt.Errorf("the state does not say which variables are trainable: %w", err)
	}
	return frozen, nil
}
