package plugin

import (
	"bytes"
	"strings"
	"sync"
)

// kept is how many of the plugin's last lines an error about its end shows.
const kept = 20

// maxLine cuts a line: a plugin that prints megabytes without a newline costs neither memory nor the reader's patience.
const maxLine = 16 << 10

// output splits what the plugin prints into lines, passes them on, and keeps the last ones.
type output struct {
	mu      sync.Mutex
	partial []byte
	last    []string
	crash   []string // the beginning of the last report of the Go runtime; its end is of no interest
	emit    func(line string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, complete := bytes.Cut(rest, []byte{'\n'})
		o.partial = append(o.partial, line[:min(len(line), maxLine-len(o.partial))]...)
		if !complete {
			break
		}
		o.line(strings.ToValidUTF8(strings.TrimRight(string(o.partial), "\r"), "\uFFFD"))
		o.partial, rest = o.partial[:0], after
	}
	return len(p), nil
}

func (o *output) line(line string) {
	if len(o.last) == kept {
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, line)
	switch {
	case beginsCrash(line):
		o.crash = []string{line}
	case len(o.crash) > 0 && len(o.crash) < kept:
		o.crash = append(o.crash, line)
	}
	if o.emit != nil {
		o.emit(line)
	}
}

// tail returns the last lines, the unfinished one included.
func (o *output) tail() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := append([]string(nil), o.last...)
	if len(o.partial) > 0 {
		lines = append(lines, string(o.partial))
	}
	return lines
}

// lastCrash returns the beginning of the last report of the Go runtime; nil if there is none.
func (o *output) lastCrash() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.crash
}

// beginsCrash says whether the line is the first of what the Go runtime prints when it ends a program.
func beginsCrash(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}
