package tensorboard

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Create begins the event file of an attempt in a run's directory, with all that readers need to take it for the
// continuation of the ones before: a value without payload at step 0 for each tag of an earlier file, which empties
// that curve in TensorBoard's default loader; a session start at step 0, which empties all in its other one, and
// which the first attempt needs as well, since the first start of a run empties nothing; and the points up to
// Options.Resume once more. What cannot be read of those is no error: see Warning.
func Create(dir string, options Options) (*Writer, error) {
	tags, err := tagsOf(dir)
	if err != nil {
		return nil, err
	}
	w, err := createFile(dir, options.Attempt)
	if err != nil {
		return nil, err
	}
	w.begin(tags)
	if options.Resume != nil && options.Resume.File != "" {
		w.warning = w.repeat(filepath.Join(dir, options.Resume.File), options.Resume.Bytes)
	}
	if err := w.flush(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	w.ends = []batchEnd{{0, w.written}}
	stopped := make(chan struct{})
	w.stop = sync.OnceFunc(func() { close(stopped) })
	w.flusher.Go(func() { w.flushRegularly(stopped) })
	return w, nil
}

// createFile makes the file, and its name durable.
func createFile(dir string, attempt int) (*Writer, error) {
	name, err := newName(dir, attempt, time.Now())
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	parent, err := os.Open(dir)
	if err == nil {
		err = errors.Join(parent.Sync(), parent.Close())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Writer{file: file, name: name}, nil
}

// begin writes all that comes before the points.
func (w *Writer) begin(tags []string) {
	now := float64(time.Now().UnixMicro()) / 1e6
	w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendFileVersion(out, now) })
	for _, tag := range tags {
		w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendBlank(out, now, tag) })
	}
	w.buffer = appendRecord(w.buffer, func(out []byte) []byte { return appendSessionStart(out, now) })
}

// repeat writes the points among the first bytes of an earlier file once more: those kept before it was begun are
// among them. Points behind damage are lost.
func (w *Writer) repeat(path string, bytes uint64) error {
	return readEvents(path, int64(min(bytes, math.MaxInt64)), func(e event) {
		for _, v := range e.values {
			if !v.blank {
				w.append(Point{v.tag, e.step, v.scalar, e.wallTime})
			}
		}
	})
}
