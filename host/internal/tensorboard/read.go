package tensorboard

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
)

// Curves returns the points of each tag that TensorBoard shows of a run's directory once it has read all files. Tags
// without a point are left out. Points are all there, in the order in which they were added, even where a step comes
// twice.
//
// A file that ends within a record is what a kill leaves, and no error. Other damage comes as a *DamageError, together
// with the curves that are left. That of files before one that holds the whole history costs nothing.
func Curves(dir string) (map[string][]Point, error) {
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	shown := curves{}
	var damage error
	for _, name := range names {
		err := readEvents(filepath.Join(dir, name), 0, -1, func(e event) error {
			if e.start {
				damage = nil
			}
			shown.apply(e)
			return nil
		})
		switch {
		case isDamage(err) && !errors.Is(err, io.ErrUnexpectedEOF):
			damage = errors.Join(damage, err)
		case err != nil && !isDamage(err) && !isNoFile(err):
			return nil, err
		}
	}
	return shown, damage
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

// readEvents gives fn each event of a file between two places, as readRecords does.
func readEvents(path string, from, to int64, fn func(event) error) error {
	return readRecords(path, from, to, func(data []byte) error {
		e, err := parseEvent(data)
		if err == nil {
			err = fn(e)
		}
		return err
	})
}
