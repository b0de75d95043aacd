package worker

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/run"
)

// maxLog is the size at which a log is rotated; one older piece is kept. It bounds what a plugin that prints without
// end can fill, at twice this, and holds days of what a quiet one prints.
const maxLog = 16 << 20

// eventLog writes the events of an attempt as JSON lines, and then hands each to a view, which must not block.
type eventLog struct {
	mu      sync.Mutex
	path    string
	attempt int
	file    *os.File
	size    int
	emit    func(Event)
	broken  bool // writing failed, which was said
}

func openLog(path string, attempt int, emit func(Event)) (*eventLog, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the attempt's log: %w", err)
	}
	return &eventLog{path: path, attempt: attempt, file: file, emit: emit}, nil
}

// write appends the event. A log that cannot be written ends nothing: what it holds is for people, and what must not
// be lost is elsewhere.
func (l *eventLog) write(event Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	event.Schema, event.Time, event.Attempt = "mtt.event/v1", time.Now().UTC(), l.attempt
	line, err := json.Marshal(event)
	if err == nil {
		err = l.append(append(line, '\n'))
	}
	l.emit(event)
	if err != nil && !l.broken {
		l.broken = true
		l.emit(Event{Time: event.Time, Attempt: l.attempt, Kind: Warning, Message: fmt.Sprintf("the attempt's log is incomplete: %v", err)})
	}
}

func (l *eventLog) append(line []byte) error {
	if l.size += len(line); l.size > maxLog {
		if err := l.rotate(); err != nil {
			return err
		}
		l.size = len(line)
	}
	_, err := l.file.Write(line)
	return err
}

func (l *eventLog) rotate() error {
	if err := os.Rename(l.path, l.path+run.RotatedSuffix); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	l.file.Close()
	l.file = file
	return nil
}

func (l *eventLog) say(kind Kind, format string, args ...any) {
	l.write(Event{Kind: kind, Message: fmt.Sprintf(format, args...)})
}

func (l *eventLog) close() { l.file.Close() }
