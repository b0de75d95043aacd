package tensorboard

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"
)

const (
	// flushEvery is how long a point waits for others before it goes to the file: TensorBoard itself looks for more
	// every few seconds.
	flushEvery = time.Second
	// flushBytes bounds what waits: larger writes are no faster, and a history of any length is copied through it.
	flushBytes = 1 << 20
)

// Offset is a place in an event file, behind a whole record.
type Offset struct {
	File  string // name in the run's directory
	Bytes uint64
}

// Options say where an attempt's curves begin.
type Options struct {
	Attempt int
	// Resume is the place that the curves go on from; nil to begin anew.
	Resume *Offset
}

// Writer writes the event file of one attempt. Records go to the file whole, in one write each time. After an error
// the writer is dead, since whatever came behind a torn record would be lost to every reader. It is safe for
// concurrent use.
type Writer struct {
	mu      sync.Mutex
	file    *os.File
	name    string
	buffer  []byte // whole records, not yet written
	written uint64
	points  uint64
	ends    []batchEnd // of each Add since the last that was asked for
	err     error
	warning error
	away    bool   // the file is closed, until Resume
	stop    func() // ends flushRegularly; may be called again
	flusher sync.WaitGroup
}

// batchEnd is where the records of one Add end.
type batchEnd struct{ points, offset uint64 }

// Name is the file's name in the run's directory.
func (w *Writer) Name() string { return w.name }

// Warning says which part of the earlier history could not be read, and is lost to the curves; nil if all is there.
func (w *Writer) Warning() error { return w.warning }

// Add appends points. They are in the file within about a second.
func (w *Writer) Add(points []Point) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range points {
		w.append(p)
	}
	w.points += uint64(len(points))
	w.ends = append(w.ends, batchEnd{w.points, w.written + uint64(len(w.buffer))})
	return w.err
}

// append appends one point, unless the writer is dead, which it may become by it.
func (w *Writer) append(p Point) {
	if w.err != nil {
		return
	}
	w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendScalar(out, p) })
	if len(w.buffer) >= flushBytes {
		_ = w.flush()
	}
}

// OffsetAfter returns the place right behind the n-th point, counted from 1 over all Adds, once everything before it
// is on the disk; Add does not wait for that. n must not be below one that was asked for earlier.
func (w *Writer) OffsetAfter(n uint64) (Offset, error) {
	end, err := w.flushThrough(n)
	if err != nil {
		return Offset{}, err
	}
	if err := w.sync(); err != nil {
		return Offset{}, err
	}
	offset, err := skipRecords(w.file.Name(), end.offset, n-end.points)
	return Offset{w.name, offset}, err
}

// flushThrough writes what is buffered, forgets the ends before point n, and returns the last of them.
func (w *Writer) flushThrough(n uint64) (batchEnd, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.flush(); err != nil {
		return batchEnd{}, err
	}
	i := sort.Search(len(w.ends), func(i int) bool { return w.ends[i].points > n }) - 1
	if i < 0 || n > w.points {
		return batchEnd{}, fmt.Errorf("event file %s has no point %d to save at: it has %d, and an earlier save was behind it", w.name, n, w.points)
	}
	w.ends = append(w.ends[:0], w.ends[i:]...)
	return w.ends[0], nil
}

// Suspend writes what is buffered, durably, and closes the file until Resume: points that come meanwhile wait in memory.
// Nobody may ask for an offset, or close the writer, in between.
func (w *Writer) Suspend() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.flush(); err != nil {
		return err
	}
	w.away = true
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
	}
	return w.err
}

// Resume opens the file again.
func (w *Writer) Resume() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	file, err := os.OpenFile(w.file.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
		return w.err
	}
	w.file, w.away = file, false
	return nil
}

// Close writes what is left, durably, and closes the file. Every call after it fails.
func (w *Writer) Close() error {
	w.stop()
	w.flusher.Wait()
	w.mu.Lock()
	err := w.flush()
	w.mu.Unlock()
	if err == nil {
		err = w.sync()
	}
	err = errors.Join(err, w.file.Close())
	w.fail(errors.New("it is closed"))
	return err
}

func (w *Writer) flushRegularly(stopped <-chan struct{}) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.mu.Lock()
			_ = w.flush() // kept in w.err, for the next call
			w.mu.Unlock()
		case <-stopped:
			return
		}
	}
}

// flush gives the buffered records to the system in one write.
func (w *Writer) flush() error {
	if w.err != nil || w.away || len(w.buffer) == 0 {
		return w.err
	}
	n, err := w.file.Write(w.buffer)
	w.written += uint64(n)
	w.buffer = w.buffer[:0]
	if err != nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
	}
	return w.err
}

// sync puts on the disk what was flushed. It does not hold the lock meanwhile.
func (w *Writer) sync() error {
	if err := w.file.Sync(); err != nil {
		return w.fail(err)
	}
	return nil
}

// fail makes the writer dead, unless it is so already, and returns what it died of.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
	}
	return w.err
}
