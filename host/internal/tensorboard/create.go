package tensorboard

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options say where an attempt's curves begin.
type Options struct {
	Attempt int
	// Kept are the beginnings of event files that the resumed checkpoint keeps, in order: up to its own place, and
	// before that up to the place of each checkpoint that an attempt of its history resumed from. Empty to begin anew.
	Kept []Place
	// LastSteps is the largest step that the checkpoint keeps of each tag, or a larger one. nil: not recorded.
	LastSteps map[string]int64
}

// Create begins the event file of an attempt in a run's directory, whose lock the caller holds. If there are points that
// the resumed checkpoint does not keep, the file is made at once, and begins with what hides them; otherwise at the
// first point. What is damaged is no error: see Warning and Verify.
func Create(dir string, options Options) (*Writer, error) {
	var err error
	if options.LastSteps == nil {
		options.LastSteps, err = lastSteps(dir, options.Kept)
	}
	if err != nil {
		return nil, err
	}
	garbage, damage, err := readGarbage(dir, options.Kept)
	if err != nil {
		return nil, err
	}
	name, err := newName(dir, options.Attempt, time.Now())
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, attempt: options.Attempt, name: name, warning: damage, lastSteps: maps.Clone(options.LastSteps)}
	if len(options.Kept) > 0 {
		w.resumed = options.Kept[len(options.Kept)-1]
	}
	if len(garbage) > 0 {
		w.begin()
		err = w.hide(garbage, options)
		if err = errors.Join(err, w.flush()); err != nil {
			return nil, errors.Join(err, w.closeFile())
		}
	}
	w.ends = []batchEnd{w.end()}
	stopped := make(chan struct{})
	w.stop = sync.OnceFunc(func() { close(stopped) })
	w.flusher.Go(func() { w.flushRegularly(stopped) })
	return w, nil
}

// createFile makes the file, and its name durable.
func createFile(dir, name string) (*os.File, error) {
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
	return file, nil
}

// lastSteps reads the largest step of each tag.
func lastSteps(dir string, kept []Place) (map[string]int64, error) {
	last := map[string]int64{}
	for _, part := range kept {
		err := readKept(dir, part, func(e event) error {
			for _, v := range e.values {
				if step, ok := last[v.tag]; !v.blank && (!ok || e.step > step) {
					last[v.tag] = e.step
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return last, nil
}
