package plugin

import (
	"strings"
	"sync"

	"github.com/mtt-project/mtt/proto/wire"
)

const (
	// kept is how many of the plugin's last lines an error about its end shows, and keptBytes how much of each.
	kept      = 20
	keptBytes = 1 << 10
)

// output is what the plugin prints, from all the streams by which that comes: it passes lines on and keeps the last ones.
type output struct {
	mu      sync.Mutex
	first   []string // lines, which say why a program could not begin
	last    []string
	before  []string // what the Go runtime has said just now, which may be why it ends the program
	crash   []string // the beginning of the last report of the Go runtime; its end is of no interest
	streams []*stream
	emit    func(line string) // nil to drop them
	sign    func()            // is called when anything was printed, a line or not; nil for none
}

// stream returns a writer for one more stream.
func (o *output) stream() *stream {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &stream{output: o}
	o.streams = append(o.streams, s)
	return s
}

func (o *output) line(line string) {
	short := wire.Text(line, keptBytes)
	if len(o.last) == kept {
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, short)
	if len(o.first) < kept {
		o.first = append(o.first, short)
	}
	o.watchForCrash(line, short)
	if o.emit != nil {
		o.emit(line)
	}
}

func (o *output) watchForCrash(line, short string) {
	switch {
	case strings.HasPrefix(line, "runtime: "), strings.HasPrefix(line, "runtime/cgo: "):
		if len(o.before) < kept {
			o.before = append(o.before, short)
		}
		return
	case beginsCrash(line):
		o.crash = append(o.before, short)
	case len(o.crash) > 0 && len(o.crash) < kept:
		o.crash = append(o.crash, short)
	}
	o.before = nil
}

// end passes on what the process has printed without the end of a line. It may be called again.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.streams {
		s.endLine()
	}
}

// tail returns the last lines, those included that have not ended.
func (o *output) tail() []string {
	o.end()
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.last...)
}

// ends returns the first lines and the last ones.
func (o *output) ends() []string {
	tail := o.tail()
	o.mu.Lock()
	defer o.mu.Unlock()
	return append(append([]string(nil), o.first...), tail...)
}

// lastCrash returns the beginning of the last report of the Go runtime; nil if there is none.
func (o *output) lastCrash() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.crash
}

// beginsCrash says whether the line is the first of what the Go runtime prints when it ends a program.
func beginsCrash(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "SIGABRT: ")
}
