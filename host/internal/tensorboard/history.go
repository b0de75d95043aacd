package tensorboard

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// history reads what a checkpoint keeps of some tags. What is missing or damaged is passed over, since Verify tells it.
type history struct {
	dir   string
	parts []Place // beginnings of files, in order
	tags  tombstones
	// hidden says for each part from which step on later parts hide its points.
	hidden []tombstones
}

// tombstones are the steps from which on the points of tags are hidden.
type tombstones map[string]int64

func (t tombstones) add(tag string, step int64) {
	if earlier, ok := t[tag]; !ok || step < earlier {
		t[tag] = step
	}
}

// newHistory reads the headers of the parts. Without a tag, nothing is ever read.
func newHistory(dir string, parts []Place, tags tombstones) (*history, error) {
	if len(tags) == 0 {
		parts = nil
	}
	h := &history{dir: dir, parts: parts, tags: tags, hidden: make([]tombstones, len(parts))}
	for i := len(parts) - 1; i > 0; i-- {
		hidden, err := h.header(parts[i])
		if err != nil {
			return nil, err
		}
		for tag, step := range h.hidden[i] {
			hidden.add(tag, step)
		}
		h.hidden[i-1] = hidden
	}
	return h, nil
}

// header reads the tombstones of a part, which come before its first point.
func (h *history) header(part Place) (tombstones, error) {
	found := tombstones{}
	err := readKept(h.dir, part, func(e event) error {
		for _, v := range e.values {
			if !v.blank {
				return errEnough
			}
			if _, wanted := h.tags[v.tag]; wanted {
				found.add(v.tag, e.step)
			}
		}
		return nil
	})
	return found, err
}

// each gives fn every kept point of the tags, in their order. The value is valid until fn returns.
func (h *history) each(fn func(event, value)) error {
	for i, part := range h.parts {
		err := readKept(h.dir, part, func(e event) error {
			for _, v := range e.values {
				_, wanted := h.tags[v.tag]
				from, hidden := h.hidden[i][v.tag]
				if wanted && !v.blank && !(hidden && e.step >= from) {
					fn(e, v)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readKept gives fn the events of a part, as far as they can be read.
func readKept(dir string, part Place, fn func(event) error) error {
	err := readEvents(filepath.Join(dir, part.File), 0, part.end(), fn)
	if isDamage(err) || isNoFile(err) {
		return nil
	}
	return err
}

// isNoFile holds for a name that stands for no event file: what it leads to does not exist, or is a pipe or a directory.
func isNoFile(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrNotRegular)
}
