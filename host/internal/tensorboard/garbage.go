package tensorboard

import (
	"errors"
	"io"
	"path/filepath"
)

// readGarbage reads what the files show that the checkpoint does not keep: all that is behind its place. It returns the
// smallest step of each tag in it, of points as well as of tombstones and of points that killed headers have repeated.
// damage says what of it could not be read. TensorBoard cannot read that either, but may have before it was damaged.
func readGarbage(dir string, kept []Place) (found tombstones, damage error, err error) {
	names, err := files(dir)
	if err != nil {
		return nil, nil, err
	}
	found = tombstones{}
	var last Place
	if len(kept) > 0 {
		last = kept[len(kept)-1]
	}
	for _, name := range names {
		if name < last.File {
			continue
		}
		from := int64(0)
		if name == last.File {
			from = last.end()
		}
		err := readEvents(filepath.Join(dir, name), from, -1, func(e event) error {
			for _, v := range e.values {
				found.add(v.tag, e.step)
			}
			return nil
		})
		switch {
		case isDamage(err) && !errors.Is(err, io.ErrUnexpectedEOF):
			damage = errors.Join(damage, err)
		case err != nil && !isDamage(err) && !isNoFile(err):
			return nil, nil, err
		}
	}
	return found, damage, nil
}
