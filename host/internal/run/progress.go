package run

import (
	"bytes"
	"encoding/json"
	"io"
	"iter"
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
func (r *Run) LastProgress(n int) Progress {
	for line := range backwards(r.LogFile(n), tail) {
		var event Progress
		if json.Unmarshal(line, &event) == nil && event.Step > 0 && event.TotalSteps > 0 {
			return event
		}
	}
	return Progress{}
}

// LastSaved returns the id of the last checkpoint that attempt n saved, as its log and the piece before tell; "" if
// there is none.
func (r *Run) LastSaved(n int) string {
	for _, file := range []string{r.LogFile(n), r.LogFile(n) + RotatedSuffix} {
		for line := range backwards(file, 0) {
			var event struct{ Kind, Checkpoint string }
			if json.Unmarshal(line, &event) == nil && event.Kind == "saved" {
				return event.Checkpoint
			}
		}
	}
	return ""
}

// RotatedSuffix ends the name of the piece of a log before the one that is being written.
const RotatedSuffix = ".1"

// backwards yields the lines of a file from the last to the first, of its last n bytes only unless n is 0. A file that
// cannot be read has none.
func backwards(path string, n int64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		file, err := os.Open(path)
		if err != nil {
			return
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && n > 0 && info.Size() > n {
			if _, err := file.Seek(-n, io.SeekEnd); err != nil {
				return
			}
		}
		content, err := io.ReadAll(file)
		if err != nil {
			return
		}
		for len(content) > 0 {
			i := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
			if !yield(content[i:]) {
				return
			}
			content = content[:i]
		}
	}
}
