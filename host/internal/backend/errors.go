package backend

import (
	"errors"
	"io/fs"
)

// Errors about a path of a volume, besides those of io/fs. Each comes in an *fs.PathError.
var (
	ErrIsDirectory = errors.New("this is a directory")
	ErrNotFile     = errors.New("this is no regular file")
	ErrChanged     = errors.New("the file has changed meanwhile")
	ErrFull        = errors.New("the volume is full")
	ErrName        = errors.New("the volume can have no such name, which is not UTF-8")
)

// PathError is an error about a path: what was to be done, to what, and why it was not.
func PathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}
