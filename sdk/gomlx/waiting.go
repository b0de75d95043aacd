package gomlx

import (
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// waiting gives variables that are made late the values that were loaded for them: those of metrics, whose paths differ
// in each process, and those that were deleted before the first step, as train.NewTrainer deletes the learning rate. It
// is the store's Loader.
type waiting struct {
	state  *State
	next   model.Loader               // the store's own; may be nil
	values map[string]*tensors.Tensor // by name
	given  map[string]bool            // names of those that have got theirs, and not yet their trainable flags
}

var _ model.Loader = (*waiting)(nil)

// LoadVariable is called when the store makes a variable.
func (w *waiting) LoadVariable(store *model.Store, path string) (*tensors.Tensor, bool) {
	if optimizer, building := w.state.training.building(); building {
		w.state.metrics.add(path, optimizer)
	}
	if name, ok := w.state.metrics.name(path); ok {
		if value, ok := w.values[name]; ok {
			delete(w.values, name)
			w.given[name] = true
			return value, true
		}
	}
	if w.next == nil {
		return nil, false
	}
	return w.next.LoadVariable(store, path)
}

// DeleteVariable is called before the store deletes a variable. Before the first step it is not forgotten: what an
// attempt deletes while it sets up, it has deleted in each attempt.
func (w *waiting) DeleteVariable(store *model.Store, path string) error {
	if name, ok := w.state.metrics.name(path); ok && w.state.begun {
		delete(w.values, name)
		w.state.loaded.forget(name)
	} else if ok && w.values[name] == nil && w.state.loaded.has(name) {
		if variable := store.GetVariable(path); variable != nil {
			value, err := variable.MustValue().LocalClone()
			if err != nil {
				return err
			}
			w.values[name] = value
		}
	}
	if w.next == nil {
		return nil
	}
	return w.next.DeleteVariable(store, path)
}

// mark gives the variables that got their values late the trainable flags that were loaded: GoMLX makes each of them
// trainable, whatever it was.
func (w *waiting) mark() {
	for variable := range w.state.store.IterVariables() {
		if name, ok := w.state.metrics.name(variable.Path()); ok && w.given[name] {
			variable.SetTrainable(w.state.loaded.variables[name].Trainable)
		}
	}
	clear(w.given)
}
