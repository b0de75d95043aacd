package eventlog

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
)

// Last returns the newest event of a log that is of interest, the rotated piece included; false if there is none.
func Last(path string, interesting func(Event) bool) (Event, bool) {
	for _, piece := range []string{path, path + rotatedSuffix} {
		if event, ok := last(piece, interesting); ok {
			return event, true
		}
	}
	return Event{}, false
}

// tail is how much of a file is read at first: a worker says every second where it is.
const tail = 256 << 10

func last(path string, interesting func(Event) bool) (Event, bool) {
	file, err := os.Open(path)
	if err != nil {
		return Event{}, false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Event{}, false
	}
	// The whole is read only where its end has nothing of interest.
	for from := max(0, info.Size()-tail); ; from = 0 {
		content, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
		if err != nil {
			return Event{}, false
		}
		for len(content) > 0 {
			i := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
			var event Event
			if json.Unmarshal(content[i:], &event) == nil && interesting(event) {
				return event, true
			}
			content = content[:i]
		}
		if from == 0 {
			return Event{}, false
		}
	}
}
