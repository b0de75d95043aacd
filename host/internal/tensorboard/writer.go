package tensorboard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// flushEvery is how long a point waits for others before it goes to the file.
const flushEvery = time.Second

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
	closing chan struct{}
	flusher sync.WaitGroup
}

// batchEnd is where the records of one Add end.
type batchEnd struct{ points, offset uint64 }

// Create begins the event file of an attempt in a run's directory, with all that readers need to take it for the
// continuation of the ones before: a value without payload at step 0 for each tag of an earlier file, which empties
// that curve in TensorBoard's default loader; a session start at step 0, which empties all in its other one; and the
// points up to Options.Resume once more.
func Create(dir string, options Options) (*Writer, error) {
	tags, err := tagsOf(dir)
	if err != nil {
		return nil, err
	}
	name, err := newName(dir, options.Attempt, time.Now())
	if err != nil {
		return nil, err
	}
	w := &Writer{name: name, closing: make(chan struct{})}
	now := float64(time.Now().UnixMicro()) / 1e6
	w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendFileVersion(out, now) })
	for _, tag := range tags {
		w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendBlank(out, now, tag) })
	}
	w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendSessionStart(out, now) })
	if options.Resume != nil && options.Resume.File != "" {
		w.warning = w.repeat(filepath.Join(dir, options.Resume.File), int64(options.Resume.Bytes))
	}
	if err := w.create(dir); err != nil {
		return nil, err
	}
	w.ends = []batchEnd{{0, w.written}}
	w.flusher.Add(1)
	go w.flushRegularly()
	return w, nil
}

// repeat writes the points of an earlier file once more. Those behind damage are lost.
func (w *Writer) repeat(path string, limit int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < limit {
		err = fmt.Errorf("event file %s has %d bytes, and %d belong to the checkpoint", path, info.Size(), limit)
		limit = info.Size()
	}
	readErr := readEvents(path, limit, func(e event) {
		for _, v := range e.values {
			if !v.blank {
				w.append(Point{v.tag, e.step, v.scalar, e.wallTime})
			}
		}
	})
	return errors.Join(err, readErr)
}

func (w *Writer) create(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, w.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	w.file = file
	parent, err := os.Open(dir)
	if err == nil {
		err = errors.Join(parent.Sync(), parent.Close())
	}
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		file.Close()
	}
	return err
}

// Name is the file's name in the run's directory.
func (w *Writer) Name() string { return w.name }

// Warning says which part of the earlier history could not be read, and is lost to the curves; nil if all is there.
func (w *Writer) Warning() error { return w.warning }

// Add appends points. They are in the file within about a second.
func (w *Writer) Add(points []Point) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	for _, p := range points {
		w.append(p)
	}
	w.points += uint64(len(points))
	w.ends = append(w.ends, batchEnd{w.points, w.written + uint64(len(w.buffer))})
	return nil
}

func (w *Writer) append(p Point) {
	w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendScalar(out, p) })
}

// OffsetAfter returns the place right behind the n-th point, counted from 1 over all Adds, once everything before it
// is on the disk. n must not be below one that was asked for earlier.
func (w *Writer) OffsetAfter(n uint64) (Offset, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.sync(); err != nil {
		return Offset{}, err
	}
	i := sort.Search(len(w.ends), func(i int) bool { return w.ends[i].points > n }) - 1
	if i < 0 || n > w.points {
		return Offset{}, fmt.Errorf("event file %s has no point %d to save at: it has %d, and an earlier save was behind it", w.name, n, w.points)
	}
	w.ends = append(w.ends[:0], w.ends[i:]...)
	offset, err := skipRecords(w.file.Name(), w.ends[0].offset, n-w.ends[0].points)
	return Offset{w.name, offset}, err
}

// Close writes what is left, durably, and closes the file.
func (w *Writer) Close() error {
	close(w.closing)
	w.flusher.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := errors.Join(w.sync(), w.file.Close())
	if w.err == nil {
		w.err = fmt.Errorf("event file %s is closed", w.name)
	}
	return err
}

func (w *Writer) flushRegularly() {
	defer w.flusher.Done()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.mu.Lock()
			_ = w.flush() // kept in w.err, for the next call
			w.mu.Unlock()
		case <-w.closing:
			return
		}
	}
}

func (w *Writer) sync() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
	}
	return w.err
}

// flush gives the buffered records to the system in one write.
func (w *Writer) flush() error {
	if w.err != nil || len(w.buffer) == 0 {
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
