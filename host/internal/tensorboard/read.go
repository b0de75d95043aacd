package tensorboard

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
)

// Curves returns the points of each tag that TensorBoard shows of a run's directory once it has read all files: those
// of the newest attempt's file, which repeats the history that was kept. Tags without a point are left out. Points of
// one attempt are all there, in the order in which they were added, even where a step comes twice.
//
// A file that ends within a record is what a kill leaves, and no error. Other damage of the newest file comes as a
// *DamageError, together with the curves up to it. That of an earlier one costs nothing by then.
func Curves(dir string) (map[string][]Point, error) {
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	shown := curves{}
	var damage *DamageError
	for _, name := range names {
		err := readEvents(filepath.Join(dir, name), -1, func(e event) {
			if e.start {
				damage = nil
			}
			shown.apply(e)
		})
		if err != nil && !errors.As(err, &damage) {
			return nil, err
		}
	}
	if damage != nil && !errors.Is(damage, io.ErrUnexpectedEOF) {
		return shown, damage
	}
	return shown, nil
}

// curves are the points of each tag that has one.
type curves map[string][]Point

// apply does to the curves what both of TensorBoard's loaders together do at an event.
func (c curves) apply(e event) {
	if e.start {
		for tag := range c {
			c.evict(tag, e.step)
		}
	}
	for _, v := range e.values {
		if v.blank {
			c.evict(v.tag, e.step)
		} else {
			c[v.tag] = append(c[v.tag], Point{v.tag, e.step, v.scalar, e.wallTime})
		}
	}
}

// evict takes back the points of a tag from a step on.
func (c curves) evict(tag string, from int64) {
	c[tag] = slices.DeleteFunc(c[tag], func(p Point) bool { return p.Step >= from })
	if len(c[tag]) == 0 {
		delete(c, tag)
	}
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
