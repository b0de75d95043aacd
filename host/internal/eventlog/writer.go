package eventlog

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// maxSize is the size at which a log is rotated; one older piece is kept. It bounds what a plugin that prints without
// end can fill, at twice this, and holds days of what a quiet one prints.
const maxSize = 16 << 20

// rotatedSuffix ends the name of the piece of a log before the one that is being written.
const rotatedSuffix = ".1"

// Writer writes the events of an attempt, and then hands each to a view, which must not block.
type Writer struct {
	mu      sync.Mutex
	path    string
	attempt int
	file    *os.File
	size    int
	emit    func(Event)
	broken  bool // writing failed, which was said
}

// Open opens the log of an attempt to append to it.
func Open(path string, attempt int, emit func(Event)) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the attempt's log: %w", err)
	}
	return &Writer{path: path, attempt: attempt, file: file, emit: emit}, nil
}

// Write appends the event. A log that cannot be written ends nothing: what it holds is for people, and what must not
// be lost is elsewhere.
func (w *Writer) Write(event Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	event.Schema, event.Time, event.Attempt = "mtt.event/v1", time.Now().UTC(), w.attempt
	line, err := json.Marshal(event)
	if err == nil {
		err = w.append(append(line, '\n'))
	}
	w.emit(event)
	if err != nil && !w.broken {
		w.broken = true
		w.emit(Event{Time: event.Time, Attempt: w.attempt, Kind: Warning, Message: fmt.Sprintf("the attempt's log is incomplete: %v", err)})
	}
}

func (w *Writer) append(line []byte) error {
	if w.size += len(line); w.size > maxSize {
		if err := w.rotate(); err != nil {
			return err
		}
		w.size = len(line)
	}
	_, err := w.file.Write(line)
	return err
}

func (w *Writer) rotate() error {
	if err := os.Rename(w.path, w.path+rotatedSuffix); err != nil {
		return err
	}
	file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	w.file.Close()
	w.file = file
	return nil
}

// Say writes an event that is nothing but words.
func (w *Writer) Say(kind Kind, format string, args ...any) {
	w.Write(Event{Kind: kind, Message: fmt.Sprintf(format, args...)})
}

// Close ends the log.
func (w *Writer) Close() { w.file.Close() }
