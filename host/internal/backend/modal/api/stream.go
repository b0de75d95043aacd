package api

import (
	"errors"
	"io"
)

// collect hands on what the messages of a stream bring, until its end.
func collect[T any](next func() ([]T, error), each func(T)) error {
	for {
		items, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, item := range items {
			each(item)
		}
	}
}
