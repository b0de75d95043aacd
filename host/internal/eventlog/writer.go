package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/regular"
	"github.com/mtt-project/mtt/proto/wire"
)

// Sizes of a log's parts in bytes. At most 4 + 11 + 3×4 MiB = 27 MiB of an attempt are kept, and 11 MiB more for the moment
// in which a digest is written beside the old one.
//
// A segment is 4 MiB: half a block of Modal's volumes, each of which is sent anew when anything in it has changed. The
// head has some 20,000 of a plugin's first lines, or the first hour of a run with 50 tags; the segments behind the digest,
// of which two are full, the last two hours of such a run, or the last 40,000 lines.
var sizes = sizing{
	segment: 4 << 20,
	lines:   4 << 20, // of the plugin's lines, as much as a segment has
	steps:   4 << 20, // some 1,800 reports with 50 tags: one in two minutes over three days
	saves:   1 << 20, // some 2,300 checkpoints, beside those in the segments that are whole
	others:  2 << 20, // far more than a run has that is not made to have many
}

type sizing struct{ segment, lines, steps, saves, others int }

// maxSegments are the head, the digest, two as they were written, and the one that is being written.
const maxSegments = 5

// Writer writes the events of an attempt, and then hands each to a view, which must not block.
type Writer struct {
	mu      sync.Mutex
	path    string
	attempt int
	sizes   sizing
	emit    func(Event)
	elapsed func() time.Duration // nil where nothing is measured

	file   io.WriteCloser // the newest segment
	number int            // of it
	size   int            // of it
	torn   bool           // it ends in a part of a line
	seq    uint64
	lost   *Missing // what was not written, up to the last event
	broken bool     // writing failed, which was said

	suspended bool
	waiting   []byte // what came while the file is closed
}

// Open opens the log of an attempt, whose head is at path, to append to it.
func Open(path string, attempt int, emit func(Event)) (*Writer, error) {
	w := &Writer{path: path, attempt: attempt, sizes: sizes, emit: emit, number: head}
	segments, err := segmentsOf(path)
	if err == nil {
		err = sweep(path, segments)
	}
	if n := len(segments); n > 0 { // another process has begun it
		w.number = segments[n-1].number
	}
	if err == nil {
		err = w.open()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the attempt's log: %w", err)
	}
	newest, _ := Last(path, func(Event) bool { return true })
	w.seq = newest.Seq
	return w, nil
}

// open opens the newest segment, which another process may have begun.
func (w *Writer) open() error {
	file, err := regular.OpenFile(pathOf(w.path, w.number), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	w.file = file
	w.size, w.torn, err = endOf(file)
	return err
}

// endOf returns the size of a file, and whether it ends in a part of a line.
func endOf(file *os.File) (size int, torn bool, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, false, err
	}
	end := make([]byte, 1)
	_, err = file.ReadAt(end, info.Size()-1)
	return int(info.Size()), end[0] != '\n', err
}

// Measure has events say how long the attempt has run, from now on.
func (w *Writer) Measure(elapsed func() time.Duration) { w.elapsed = elapsed }

// maxMessage is the most bytes that a message has: twice what an experiment's error and its stack have together.
const maxMessage = 4 * wire.MaxFailureBytes

// Write appends the event. A log that cannot be written ends nothing: what it holds is for people, and what must not
// be lost is elsewhere.
func (w *Writer) Write(event Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	event.Message = wire.Text(event.Message, maxMessage)
	event.Schema, event.Time, event.Attempt, event.Seq = Schema, time.Now().UTC(), w.attempt, w.seq
	if w.elapsed != nil {
		event.ElapsedSeconds = math.Round(w.elapsed().Seconds()*1000) / 1000
	}
	err := w.append(event)
	if err != nil {
		w.lose(event)
	}
	w.emit(event)
	if err != nil && !w.broken {
		w.broken = true
		w.emit(Event{Time: event.Time, Attempt: w.attempt, Kind: Warning, Message: fmt.Sprintf("the attempt's log is incomplete: %v", err)})
	}
}

// lose counts an event that is not written.
func (w *Writer) lose(event Event) {
	if w.lost == nil {
		w.lost = &Missing{First: event.Seq}
	}
	w.lost.count(event.Kind)
}

func (w *Writer) append(event Event) error {
	lines, err := encode(event)
	if err != nil {
		return err
	}
	if w.lost != nil {
		marker, err := encode(w.lost.event(w.attempt, event.Seq-1, event.Time))
		if err != nil {
			return err
		}
		lines = append(marker, lines...)
	}
	switch {
	case !w.suspended:
		err = w.put(lines)
	case len(w.waiting)+len(lines) > w.sizes.segment && (event.Kind == Printed || event.Kind == Stepped):
		w.lose(event) // the memory of a plugin that prints without end while the volume is slow
		return nil
	default:
		w.waiting = append(w.waiting, lines...)
	}
	if err == nil {
		w.lost = nil
	}
	return err
}

func encode(event Event) ([]byte, error) {
	line, err := json.Marshal(event)
	return append(line, '\n'), err
}

// put appends whole lines. What a write that failed has left of one is ended before the next.
func (w *Writer) put(lines []byte) error {
	if w.size > 0 && w.size+len(lines) > w.sizes.segment {
		if err := w.rotate(); err != nil {
			w.size = 0 // to be tried again when there is as much again, and not with each event
			return err
		}
	}
	if w.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := w.file.Write(lines)
	w.size += n
	w.torn = n < len(lines) && (n > 0 || w.torn)
	return err
}

// rotate begins the next segment.
func (w *Writer) rotate() error {
	segments, err := segmentsOf(w.path)
	if err != nil {
		return err
	}
	if len(segments) >= maxSegments {
		if err := w.fold(segments[1], segments[2]); err != nil {
			return err
		}
	}
	old := w.file
	w.number++
	if err := w.open(); err != nil {
		w.number--
		return err
	}
	return old.Close()
}

// Say writes an event that is nothing but words.
func (w *Writer) Say(kind Kind, format string, args ...any) {
	w.Write(Event{Kind: kind, Message: fmt.Sprintf(format, args...)})
}

// Suspend closes the file until Resume: what is logged meanwhile waits in memory, as much as a segment has.
func (w *Writer) Suspend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file.Close()
	w.suspended = true
}

// Resume opens the file again.
func (w *Writer) Resume() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.open(); err != nil {
		return fmt.Errorf("cannot open the attempt's log: %w", err)
	}
	waiting := w.waiting
	w.suspended, w.waiting = false, nil
	return w.put(waiting)
}

// Close ends the log.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		if marker, err := encode(w.lost.event(w.attempt, w.seq, time.Now().UTC())); err == nil {
			_ = w.put(marker) // which an unmarked gap says too, where another process goes on
		}
	}
	w.file.Close()
}

// sweep removes what a process that was killed in mid-fold has left: a temporary file, or segments that a digest has.
func sweep(path string, segments []segment) error {
	for _, old := range segments {
		_ = os.Remove(old.path + temporarySuffix)
	}
	var err error
	for i := 2; i < len(segments); i++ {
		older, newer := firstOf(segments[i-1].path), firstOf(segments[i].path)
		if newer > 0 && newer <= older {
			err = errors.Join(err, os.Remove(segments[i-1].path))
		}
	}
	return err
}
