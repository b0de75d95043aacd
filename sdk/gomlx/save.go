package gomlx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"

	"github.com/mtt-project/mtt/sdk"
	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// Save writes the state as one safetensors blob, its tensors sorted by name, each straight from where it is: there is
// no second copy of the model. It fails rather than write a state from which a resume would go on as another run.
func (s *State) Save(to sdk.CheckpointWriter) error {
	if err := s.checkSavable(); err != nil {
		return err
	}
	s.observeParams()
	entries := s.entries()
	described := metadata{several: s.training.several, params: s.changed, loss: s.loss}
	for _, e := range entries {
		described.variables = append(described.variables, s.describe(e))
	}
	encoded, err := described.encode()
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	header, err := headerOf(entries, encoded)
	if err != nil {
		return err
	}
	blob, err := to.Create(s.blob)
	if err != nil {
		return err
	}
	if _, err := blob.Write(header); err != nil {
		return err
	}
	for _, e := range entries {
		if err := e.read(func(data []byte) error { _, err := blob.Write(data); return err }); err != nil {
			return fmt.Errorf("variable %s: %w", e.name, err)
		}
	}
	return nil
}

// checkSavable fails where a resume would not go on as this attempt does.
func (s *State) checkSavable() error {
	if s.within {
		return errors.New("run.Save was called within a training step: Loop saves between two steps, once After has returned and accumulated gradients are applied")
	}
	if err := s.examine(); err != nil {
		return err
	}
	if err := s.checkTrainable(); err != nil {
		return err
	}
	for variable := range s.store.IterVariables() {
		path := variable.Path()
		switch {
		case len(s.training.built) == 0 && len(s.training.uses) > 0 && variable.Trainable && !s.loaded.has(path):
			// No step was made, so examine has found nothing.
			return fmt.Errorf("the checkpoint that was loaded is not of this model: it has no %s", path)
		case s.training.watched == 0 && randomScope.MatchString(path):
			return errors.New("the store has a trainer whose optimizer is not one of State.Watch, so what its steps use is not known: wrap it")
		case !s.looped && strings.HasPrefix(path, accumulatedPrefix):
			return errors.New("gradients are accumulated, and GoMLX counts the steps to their application outside of its variables: train with Loop, which saves only behind one")
		case !variable.HasValue():
			return fmt.Errorf("variable %s has no value yet, so it cannot be saved: run a graph before the end of the step that made it", path)
		}
	}
	return nil
}

var accumulatedPrefix = model.JoinPath("/", train.AccumulatedGradientsScope) + model.ScopeSeparator

func headerOf(entries []entry, metadata map[string]string) ([]byte, error) {
	tensors := make([]safetensors.Tensor, len(entries))
	for i, e := range entries {
		var err error
		if tensors[i], err = e.tensor(); err != nil {
			return nil, err
		}
	}
	return safetensors.EncodeHeader(tensors, metadata)
}
