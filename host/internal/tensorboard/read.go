package tensorboard

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
)

// Curves returns the points of each tag that TensorBoard shows of a run's directory once it has read all files: those
// of the newest attempt's file, which repeats the history that was kept. Tags without a point are left out. A file
// that ends within a record is what a kill leaves, and no error.
func Curves(dir string) (map[string][]Point, error) {
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	curves := map[string][]Point{}
	for _, name := range names {
		err := readEvents(filepath.Join(dir, name), -1, func(e event) {
			for _, v := range e.values {
				curves[v.tag] = slices.DeleteFunc(curves[v.tag], func(p Point) bool { return p.Step >= e.step && v.blank })
				if !v.blank {
					curves[v.tag] = append(curves[v.tag], Point{v.tag, e.step, v.scalar, e.wallTime})
				}
			}
		})
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
	}
	for tag, points := range curves {
		if len(points) == 0 {
			delete(curves, tag)
		}
	}
	return curves, nil
}

// readEvents gives fn each event among the first limit bytes of a file; a negative limit means all.
func readEvents(path string, limit int64, fn func(event)) error {
	return readRecords(path, limit, func(data []byte) error {
		e, err := parseEvent(data)
		if err == nil {
			fn(e)
		}
		return err
	})
}

// tagsOf returns the tags in all event files of a directory, sorted, whatever state the files are in.
func tagsOf(dir string) ([]string, error) {
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range names {
		err := readEvents(filepath.Join(dir, name), -1, func(e event) {
			for _, v := range e.values {
				seen[v.tag] = true
			}
		})
		var damage *DamageError
		if err != nil && !errors.As(err, &damage) {
			return nil, err
		}
	}
	tags := make([]string, 0, len(seen))
	for tag := range seen {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags, nil
}
