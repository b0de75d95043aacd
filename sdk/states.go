package sdk

import "errors"

// states is the State that several make together.
type states []State

// checker is a State that may know, before anything was trained, that it cannot be saved.
type checker interface{ check() error }

func (s states) check() error {
	for _, state := range s {
		if state == nil {
			return errors.New("the state is nil")
		}
		if c, ok := state.(checker); ok {
			if err := c.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s states) Save(w CheckpointWriter) error {
	for _, state := range s {
		if err := state.Save(w); err != nil {
			return err
		}
	}
	return nil
}

func (s states) Load(r CheckpointReader) error {
	for _, state := range s {
		if err := state.Load(r); err != nil {
			return err
		}
	}
	return nil
}
