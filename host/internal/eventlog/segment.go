package eventlog

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const extension = ".jsonl"

// Numbers of segments. Older hosts rotated log/<n>.jsonl away to log/<n>.jsonl.1, which so comes before it.
const (
	rotated = 0
	head    = 1
)

// segment is a file of a log. The events of a log are those of its segments, in the order of their numbers.
type segment struct {
	number int
	path   string
}

// segmentsOf returns the segments of the log whose head is at path; none before it is there.
func segmentsOf(path string) (segments []segment, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	log, _ := strings.CutSuffix(filepath.Base(path), extension)
	for _, entry := range entries {
		if of, number, ok := Parse(entry.Name()); ok && of == log {
			segments = append(segments, segment{number, filepath.Join(filepath.Dir(path), entry.Name())})
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return segments, nil
}

// pathOf is where segment number of the log at path is.
func pathOf(path string, number int) string {
	if number == head {
		return path
	}
	return strings.TrimSuffix(path, extension) + "." + strconv.Itoa(number) + extension
}

// Parse splits the name of a segment's file into the log's, without its extension, and the segment's number: segments of a
// log were written in the order of their numbers. false: no segment has such a name.
func Parse(name string) (log string, number int, ok bool) {
	if log, ok = strings.CutSuffix(name, extension+".1"); ok {
		return log, rotated, true
	}
	if log, ok = strings.CutSuffix(name, extension); !ok {
		return "", 0, false
	}
	of, digits, behind := strings.Cut(log, ".")
	if !behind {
		return log, head, true
	}
	number, err := strconv.Atoi(digits)
	return of, number, err == nil && number > head && digits == strconv.Itoa(number)
}
