// Package exit gives an error the exit code that scripts decide on, and the sentence that says what to do next.
package exit

import (
	"errors"
	"fmt"
)

// Code is an exit code of mtt-host. The numbers are part of its interface and never change their meaning.
type Code int

const (
	OK            Code = 0
	Internal      Code = 1   // a bug in mtt
	Usage         Code = 2   // usage, configuration, a plugin that does not build, outputs that cannot be written
	TrainFailed   Code = 3   // Train returned an error
	Credentials   Code = 4   // a backend's credentials are missing or wrong
	NotFound      Code = 5   // no such plugin, run, checkpoint, volume or file
	Stopped       Code = 6   // stopped on request
	StillRunning  Code = 7   // the run is live
	Mismatch      Code = 65  // another configuration, seed, code or exactness key
	BadCheckpoint Code = 66  // a checkpoint that verify refuses, or progress without a good one
	Unavailable   Code = 69  // a backend cannot be reached, or no longer has what is asked of it
	Plugin        Code = 70  // the plugin is no plugin, broke the protocol, panicked or stalled
	Interrupted   Code = 75  // killed from outside, and no retry is left
	TimeLimit     Code = 124 // the run's time limit is used up
	Signalled     Code = 130 // Ctrl-C or SIGTERM
)

// Error is an error with its exit code. Next says what the person can do, as one or more lines; it may be empty. A command
// in it is the end of its line.
type Error struct {
	Code Code
	Err  error
	Next string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error without a next step; the format is fmt.Errorf's, %w included.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Hint returns the error with its next step set.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Of returns the exit code of err: OK for nil, Internal for an error that carries none.
func Of(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// NextOf returns what the person can do about err; "" if it does not say.
func NextOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Next
	}
	return ""
}
