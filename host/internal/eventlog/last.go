package eventlog

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// Last returns the newest event of the log whose head is at path that is of interest; false if there is none.
func Last(path string, interesting func(Event) bool) (Event, bool) {
	segments, _ := segmentsOf(path)
	for _, segment := range slices.Backward(segments) {
		if event, ok := last(segment.path, interesting); ok {
			return event, true
		}
	}
	return Event{}, false
}

// tail is how much of a file is read at first: a worker says every second where it is.
const tail = 256 << 10

func last(path string, interesting func(Event) bool) (Event, bool) {
	file, err := regular.Open(path)
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
