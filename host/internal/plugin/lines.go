package plugin

import (
	"bytes"
	"time"

	"github.com/mtt-project/mtt/proto/wire"
)

// redrawnEvery is how often a line that replaces itself is passed on before it has ended: often enough to see that it
// moves, and seldom enough for a log of days.
const redrawnEvery = 10 * time.Second

// stream splits one stream of output into lines. A line ends at a line feed. What a carriage return ends is replaced by
// what follows on it, as on a terminal: of a progress bar the newest state is passed on, at its end and now and then.
type stream struct {
	output   *output
	now      text
	replaced text // by now, if that is not empty
	redrawn  time.Time
}

// text is the beginning of a line, and how long that is.
type text struct {
	kept []byte
	size uint64
}

func (t *text) add(part []byte) {
	t.kept = append(t.kept, part[:min(len(part), wire.MaxLineBytes-len(t.kept))]...)
	t.size += uint64(len(part))
}

func (t *text) String() string { return wire.Beginning(t.kept, t.size, wire.MaxLineBytes) }

func (t *text) reset() { t.kept, t.size = t.kept[:0], 0 }

// Write takes more of the stream.
func (s *stream) Write(p []byte) (int, error) {
	s.output.mu.Lock()
	defer s.output.mu.Unlock()
	if s.output.sign != nil && len(p) > 0 {
		s.output.sign()
	}
	for rest := p; len(rest) > 0; {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			s.now.add(rest)
			break
		}
		s.now.add(rest[:i])
		if rest[i] == '\n' {
			s.line()
		} else {
			s.redraw()
		}
		rest = rest[i+1:]
	}
	return len(p), nil
}

// redraw begins the line anew, unless it is empty.
func (s *stream) redraw() {
	if s.now.size == 0 {
		return
	}
	s.now, s.replaced = s.replaced, s.now
	s.now.reset()
	switch {
	case s.redrawn.IsZero():
		s.redrawn = time.Now()
	case time.Since(s.redrawn) >= redrawnEvery:
		s.redrawn = time.Now()
		s.output.line(s.replaced.String())
	}
}

// line passes the line on.
func (s *stream) line() {
	newest := &s.now
	if newest.size == 0 {
		newest = &s.replaced
	}
	s.output.line(newest.String())
	s.now.reset()
	s.replaced.reset()
	s.redrawn = time.Time{}
}

// endLine passes on a line that has not ended.
func (s *stream) endLine() {
	if s.now.size > 0 || s.replaced.size > 0 {
		s.line()
	}
}
