package eventlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/regular"
)

// maxLine is the length from which a line is no event: readers hold one line in memory, and no event of this host's is
// longer.
const maxLine = 4 << 20

// Reader reads a log from its beginning, and goes on where it grows, also past a rotation. Every event comes once, in order;
// where some are missing, because they were not kept, were rotated away before they were read, or were torn, a Gone event
// says how many. It holds one event in memory.
type Reader struct {
	path  string
	file  *os.File // nil before the log is there
	lines *bufio.Reader
	// number is that of the segment.
	number int
	// complete says that another file follows on this one, so that nothing is appended to it any more.
	complete bool
	partial  []byte // a line that has not ended yet
	tooLong  bool   // and its beginning was let go

	last   uint64 // number of the last event that was returned, or said to be missing
	behind *Event // what comes behind the Gone event that was returned last
}

// NewReader reads the log whose head is at path, which may come later.
func NewReader(path string) *Reader { return &Reader{path: path} }

// Next returns the next event; false if there is none yet. A line that is no event is passed over: the last one of a
// killed worker may be torn.
func (r *Reader) Next() (Event, bool, error) {
	if r.behind != nil {
		event := *r.behind
		r.behind, r.last = nil, event.Seq
		return event, true, nil
	}
	for {
		line, err := r.line()
		if err != nil {
			return Event{}, false, err
		}
		if line == nil {
			if more, err := r.advance(); err != nil || !more {
				return Event{}, false, err
			}
			continue
		}
		var event Event
		if json.Unmarshal(line, &event) != nil || event.Kind == "" {
			continue
		}
		if event.Seq > 0 && event.Seq <= r.last { // it comes again, in a digest
			continue
		}
		return r.inOrder(event), true, nil
	}
}

// Read returns the events that have come since the last call.
func (r *Reader) Read() (events []Event, err error) {
	for {
		event, ok, err := r.Next()
		if err != nil || !ok {
			return events, err
		}
		events = append(events, event)
	}
}

// inOrder returns the event, or what is missing before it.
func (r *Reader) inOrder(event Event) Event {
	if event.Seq == 0 {
		return event
	}
	if first := event.First(); first > r.last+1 {
		missing := &Missing{First: r.last + 1, Other: first - 1 - r.last}
		r.last, r.behind = first-1, &event
		return missing.event(event.Attempt, first-1, event.Time)
	}
	event = event.Behind(r.last)
	r.last = event.Seq
	return event
}

// line returns the next whole line; nil if there is none yet.
func (r *Reader) line() ([]byte, error) {
	for r.file != nil {
		part, err := r.lines.ReadSlice('\n')
		if r.tooLong = r.tooLong || len(r.partial)+len(part) > maxLine; !r.tooLong {
			r.partial = append(r.partial, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		}
		line := r.partial
		r.partial = r.partial[:0]
		if !r.tooLong {
			return line, nil
		}
		r.tooLong, r.partial = false, nil
	}
	return nil, nil
}

// advance is called at the end of a segment, and says whether there may be more to read: in this one, which may have grown
// before another followed; in what has taken its place; or in the next.
func (r *Reader) advance() (more bool, err error) {
	next, err := r.next()
	if err != nil || next == nil {
		return false, err
	}
	if r.file != nil && !r.complete {
		r.complete = true
		return true, nil
	}
	return r.open(*next)
}

// next is what follows on the segment that is read; nil if that is the newest.
func (r *Reader) next() (*segment, error) {
	segments, err := segmentsOf(r.path)
	for _, s := range segments {
		if r.file == nil {
			return &s, err
		}
		if s.number < r.number {
			continue
		}
		same, err := r.reads(s)
		if err != nil || !same {
			return &s, err
		}
	}
	return nil, err
}

// reads says whether the segment is the file that is read.
func (r *Reader) reads(s segment) (bool, error) {
	ours, err := r.file.Stat()
	if err != nil {
		return false, err
	}
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, info), err
}

func (r *Reader) open(s segment) (bool, error) {
	file, err := regular.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it is being folded into the next
	}
	if errors.Is(err, regular.ErrNotRegular) {
		return false, exit.Errorf(exit.BadCheckpoint, "%s is damaged: %w", s.path, regular.ErrNotRegular).
			Hint("Bring a good copy of the log back, or remove what is in its place.")
	}
	if err != nil {
		return false, err
	}
	r.Close()
	r.file, r.number, r.lines = file, s.number, bufio.NewReaderSize(file, 64<<10)
	return true, nil
}

// Close lets go of the file.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close()
	}
	r.file, r.lines, r.partial, r.tooLong, r.complete = nil, nil, nil, false, false
}
