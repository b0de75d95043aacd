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
