package tensorboard

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
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

// Writer writes the event file of one attempt. Records go to the file whole, in one write each time. After an error
// the writer is dead, since whatever came behind a torn record would be lost to every reader. It is safe for
// concurrent use.
type Writer struct {
	dir     string
	attempt int
	name    string
	resumed Place // where the curves go on from
	warning error
	stop    func() // ends flushRegularly; may be called again
	flusher sync.WaitGroup

	mu        sync.Mutex
	file      *os.File // nil until the first record is flushed
	buffer    []byte   // whole records, not yet written
	written   uint64
	crc       uint32 // of all records
	points    uint64
	lastSteps map[string]int64
	ends      []batchEnd // of each Add since the last that was asked for
	err       error
	away      bool // the file is closed, until Resume
}

// batchEnd is where the records of one Add end, and the checksum of all before it.
type batchEnd struct {
	points, offset uint64
	crc            uint32
}

// Name is the name that the file has in the run's directory once it is made.
func (w *Writer) Name() string { return w.name }

// Warning says which of the points that are hidden could not be read; nil if all could. A TensorBoard that had read them
// before they were damaged may go on showing them.
func (w *Writer) Warning() error { return w.warning }

// Add appends points. They are in the file within about a second.
func (w *Writer) Add(points []Point) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.written == 0 && len(w.buffer) == 0 && len(points) > 0 {
		w.begin()
		w.ends = []batchEnd{w.end()}
	}
	for _, p := range points {
		w.record(func(out []byte) []byte { return appendScalar(out, p) })
		if last, ok := w.lastSteps[p.Tag]; !ok || p.Step > last {
			w.lastSteps[p.Tag] = p.Step
		}
	}
	w.points += uint64(len(points))
	w.ends = append(w.ends, w.end())
	return w.err
}

func (w *Writer) end() batchEnd {
	return batchEnd{w.points, w.written + uint64(len(w.buffer)), w.crc}
}

// record appends one record, unless the writer is dead, which it may become by it.
func (w *Writer) record(encode func(out []byte) []byte) {
	if w.err != nil {
		return
	}
	before := len(w.buffer)
	w.buffer = appendRecord(w.buffer, encode)
	w.crc = crc32.Update(w.crc, castagnoli, w.buffer[before:])
	if len(w.buffer) >= flushBytes {
		_ = w.flush()
	}
}

// PlaceAfter returns the place right behind the n-th point, counted from 1 over all Adds, once everything before it
// is on the disk; Add does not wait for that. n must not be below one that was asked for earlier.
func (w *Writer) PlaceAfter(n uint64) (Place, error) {
	end, err := w.flushThrough(n)
	if err != nil {
		return Place{}, err
	}
	if end.offset == 0 { // there is no file: nothing was logged, and nothing had to be hidden
		return w.resumed, nil
	}
	if err := w.sync(); err != nil {
		return Place{}, err
	}
	at := Place{w.attempt, w.name, end.offset, end.crc}
	return at, at.skip(w.dir, n-end.points)
}

// LastSteps returns the largest step of each tag, from the points that the attempt began with to those of the last Add.
func (w *Writer) LastSteps() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.lastSteps)
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
// Nobody may ask for a place, or close the writer, in between.
func (w *Writer) Suspend() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.flush(); err != nil {
		return err
	}
	w.away = true
	if w.file == nil {
		return nil
	}
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
	w.away = false
	if w.file == nil {
		return nil
	}
	file, err := os.OpenFile(w.file.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
		return w.err
	}
	w.file = file
	return nil
}

// Close writes what is left, durably, and closes the file. Every call after it fails.
func (w *Writer) Close() error {
	w.stop()
	w.flusher.Wait()
	w.mu.Lock()
	err := w.flush()
	w.mu.Unlock()
	if err == nil && w.file != nil {
		err = w.sync()
	}
	err = errors.Join(err, w.closeFile())
	w.fail(errors.New("it is closed"))
	return err
}

func (w *Writer) closeFile() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
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
	if err := w.write(); err != nil {
		w.err = fmt.Errorf("cannot write event file %s: %w", w.name, err)
	}
	return w.err
}

func (w *Writer) write() (err error) {
	if w.file == nil {
		if w.file, err = createFile(w.dir, w.name); err != nil {
			return err
		}
	}
	n, err := w.file.Write(w.buffer)
	w.written += uint64(n)
	w.buffer = w.buffer[:0]
	return err
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
