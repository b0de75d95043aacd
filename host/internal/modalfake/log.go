package modalfake

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// entryID numbers what an app's Sandboxes print: milliseconds since 1970, and a count within one. A client gives the
// last one that it has seen to go on behind it; 0-0 and the empty one are the beginning.
type entryID struct {
	MS  int64 `json:"ms"`
	Seq int64 `json:"seq"`
}

func (id entryID) String() string { return fmt.Sprintf("%d-%d", id.MS, id.Seq) }

func (id entryID) after(other entryID) bool {
	return id.MS > other.MS || (id.MS == other.MS && id.Seq > other.Seq)
}

func parseEntryID(text string) (id entryID, err error) {
	if text == "" {
		return entryID{}, nil
	}
	if _, err := fmt.Sscanf(text, "%d-%d", &id.MS, &id.Seq); err != nil {
		return entryID{}, invalid("last_entry_id %q is none", text)
	}
	return id, nil
}

// logEntry is one piece of output.
type logEntry struct {
	ID      entryID           `json:"id"`
	At      time.Time         `json:"at"`
	Sandbox string            `json:"sandbox"`
	Task    string            `json:"task"`
	Source  pb.FileDescriptor `json:"source"`
	Data    string            `json:"data"`
}

func (e logEntry) batch() *pb.TaskLogsBatch {
	return pb.TaskLogsBatch_builder{TaskId: e.Task, EntryId: e.ID.String(), Items: []*pb.TaskLogs{pb.TaskLogs_builder{
		Data: e.Data, Timestamp: seconds(e.At), TimestampNs: uint64(e.At.UnixNano()), FileDescriptor: e.Source,
	}.Build()}}.Build()
}

// appLog is what an app's Sandboxes printed, in memory and in a file. The server's mu guards it.
type appLog struct {
	entries []logEntry
	file    *os.File
	more    chan struct{} // closed when there is more to see
}

// logOf returns an app's log. The caller holds mu.
func (s *Server) logOf(appID string) *appLog {
	if l := s.logs[appID]; l != nil {
		return l
	}
	l, err := openLog(filepath.Join(s.cfg.State, "logs", appID+".jsonl"))
	if err != nil {
		s.log.Error("an app's log cannot be kept", "app", appID, "error", err)
	}
	s.logs[appID] = l
	return l
}

func openLog(path string) (*appLog, error) {
	l := &appLog{more: make(chan struct{})}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return l, err
	}
	if f, err := os.Open(path); err == nil {
		lines := bufio.NewReader(f)
		for {
			line, err := lines.ReadBytes('\n')
			var entry logEntry
			if err != nil || json.Unmarshal(line, &entry) != nil {
				break // the end, or a line that a kill cut off
			}
			l.entries = append(l.entries, entry)
		}
		f.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	var err error
	l.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	return l, err
}

// add appends an entry. The caller holds the server's mu.
func (l *appLog) add(e logEntry) {
	e.At = time.Now()
	e.ID = entryID{MS: e.At.UnixMilli()}
	if n := len(l.entries); n > 0 && !e.ID.after(l.entries[n-1].ID) { // also if the clock was set back
		last := l.entries[n-1].ID
		e.ID = entryID{MS: last.MS, Seq: last.Seq + 1}
	}
	l.entries = append(l.entries, e)
	if raw, err := json.Marshal(e); err == nil && l.file != nil {
		_, _ = l.file.Write(append(raw, '\n'))
	}
	l.changed()
}

// changed wakes those who follow.
func (l *appLog) changed() {
	close(l.more)
	l.more = make(chan struct{})
}
