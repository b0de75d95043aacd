package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Reader reads a log from its beginning, and goes on where it grows, also past a rotation.
type Reader struct {
	path    string
	file    *os.File // nil before the log is there
	partial []byte   // a line that has not ended yet
}

// NewReader reads the log at path, which may come later.
func NewReader(path string) *Reader { return &Reader{path: path} }

// Read returns the events that have come since the last call. A line that is no event is passed over: the last one of a
// killed worker may be torn.
func (r *Reader) Read() (events []Event, err error) {
	for {
		if r.file == nil {
			if err := r.open(); err != nil {
				return events, err
			}
			if r.file == nil {
				return events, nil
			}
		}
		more, err := r.drain()
		events = append(events, more...)
		if err != nil {
			return events, err
		}
		next, err := r.next()
		if err != nil || next == "" {
			return events, err
		}
		newer, err := os.Open(next)
		if errors.Is(err, fs.ErrNotExist) {
			return events, nil // it is being rotated
		}
		if err != nil {
			return events, err
		}
		// Once more, for what came between the end that was seen and the rotation.
		more, err = r.drain()
		events = append(events, more...)
		r.Close()
		r.file = newer
		if err != nil {
			return events, err
		}
	}
}

// open opens the oldest piece that is there.
func (r *Reader) open() (err error) {
	for _, piece := range []string{r.path + rotatedSuffix, r.path} {
		r.file, err = os.Open(piece)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.file = nil
	}
	return nil
}

func (r *Reader) drain() (events []Event, err error) {
	content, err := io.ReadAll(r.file)
	if err != nil {
		return nil, err
	}
	content = append(r.partial, content...)
	for {
		line, rest, complete := bytes.Cut(content, []byte{'\n'})
		if !complete {
			r.partial = bytes.Clone(content)
			return events, nil
		}
		var event Event
		if json.Unmarshal(line, &event) == nil && event.Kind != "" {
			events = append(events, event)
		}
		content = rest
	}
}

// next is the piece behind the one that is read; "" if that is the newest.
func (r *Reader) next() (string, error) {
	ours, err := r.file.Stat()
	if err != nil {
		return "", err
	}
	for _, piece := range []struct{ at, next string }{{r.path, ""}, {r.path + rotatedSuffix, r.path}} {
		info, err := os.Stat(piece.at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if os.SameFile(ours, info) {
			return piece.next, nil
		}
	}
	return r.path + rotatedSuffix, nil // it was rotated twice, and the piece that is read is gone
}

// Close lets go of the file.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close()
		r.file, r.partial = nil, nil
	}
}
