package run

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
)

// Progress is where an attempt was when it last said so.
type Progress struct {
	Step       uint64 `json:"step"`
	TotalSteps uint64 `json:"total_steps"`
}

// tail is how much of a log is read to find the last progress: a worker writes it every second, and a plugin's own
// lines between two of them are bounded by the log's own limits.
const tail = 256 << 10

// LastProgress reads the newest progress from the log of attempt n; zero if there is none.
func (r *Run) LastProgress(n int) (last Progress) {
	file, err := os.Open(r.LogFile(n))
	if err != nil {
		return last
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err != nil || size > tail {
		_, err = file.Seek(-tail, io.SeekEnd)
		if err != nil {
			return last
		}
	} else if _, err := file.Seek(0, io.SeekStart); err != nil {
		return last
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return last
	}
	for len(content) > 0 {
		i := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
		var event Progress
		if json.Unmarshal(content[i:], &event) == nil && event.Step > 0 && event.TotalSteps > 0 {
			return event
		}
		content = content[:i]
	}
	return last
}
