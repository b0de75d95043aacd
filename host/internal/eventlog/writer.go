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
	seq     uint64
	emit    func(Event)
	broken  bool   // writing failed, which was said
	waiting []byte // what came while the file is closed; nil while it is open
}

// Open opens the log of an attempt to append to it.
func Open(path string, attempt int, emit func(Event)) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the attempt's log: %w", err)
	}
	w := &Writer{path: path, attempt: attempt, file: file, emit: emit}
	if info, err := file.Stat(); err == nil && info.Size() > 0 { // another process has begun it
		newest, _ := Last(path, func(Event) bool { return true })
		w.size, w.seq = int(info.Size()), newest.Seq
	}
	return w, nil
}

// Write appends the event. A log that cannot be written ends nothing: what it holds is for people, and what must not
// be lost is elsewhere.
func (w *Writer) Write(event Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	event.Schema, event.Time, event.Attempt, event.Seq = Schema, time.Now().UTC(), w.attempt, w.seq
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
	if w.waiting != nil {
		w.waiting = append(w.waiting, line...)
		return nil
	}
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

// Suspend closes the file until Resume: what is logged meanwhile waits in memory.
func (w *Writer) Suspend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file.Close()
	w.waiting = []byte{}
}

// Resume opens the file again.
func (w *Writer) Resume() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open the attempt's log: %w", err)
	}
	w.file = file
	waiting := w.waiting
	w.waiting = nil
	return w.append(waiting)
}

// Close ends the log.
func (w *Writer) Close() { w.file.Close() }
