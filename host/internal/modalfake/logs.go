package modalfake

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/mtt-project/mtt/host/internal/modalfake/newer"

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

// following is a stream of an app's log.
type following struct {
	appID   string
	fits    func(logEntry) bool
	done    func() bool // under mu: nothing can be added any more
	last    entryID
	timeout time.Duration
	send    func(*pb.TaskLogsBatch) error
	end     func(*pb.TaskLogsBatch) // marks the message behind the last entry
}

// follow sends what there is, then what comes until the time is up; the client then asks again.
func (s *Server) follow(ctx context.Context, f following) error {
	timeout := time.NewTimer(f.timeout)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		l := s.logOf(f.appID)
		var send []logEntry
		for _, e := range l.entries {
			if e.ID.after(f.last) && f.fits(e) {
				send = append(send, e)
			}
		}
		more, done := l.more, f.done()
		s.mu.Unlock()
		for _, e := range send {
			if err := f.send(e.batch()); err != nil {
				return err
			}
			if s.dice.Repeat() {
				if err := f.send(e.batch()); err != nil {
					return err
				}
			}
			f.last = e.ID
		}
		if done {
			last := pb.TaskLogsBatch_builder{EntryId: f.last.String()}.Build()
			f.end(last)
			return f.send(last)
		}
		select {
		case <-more:
		case <-timeout.C:
			return nil
		case <-ctx.Done():
			return nil
		case <-s.stopping.Done():
			return nil
		}
	}
}

func fromSource(source pb.FileDescriptor, e logEntry) bool {
	return source == pb.FileDescriptor_FILE_DESCRIPTOR_UNSPECIFIED || source == e.Source
}

func (s service) SandboxGetLogs(r *pb.SandboxGetLogsRequest, stream grpc.ServerStreamingServer[pb.TaskLogsBatch]) error {
	s.mu.Lock()
	record, err := s.sandbox(r.GetSandboxId())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	last, err := parseEntryID(r.GetLastEntryId())
	if err != nil {
		return err
	}
	return s.follow(stream.Context(), following{
		appID:   record.AppID,
		fits:    func(e logEntry) bool { return e.Sandbox == record.ID && fromSource(r.GetFileDescriptor(), e) },
		done:    func() bool { return s.sandboxes.Get(record.ID).finished() },
		last:    last,
		timeout: time.Duration(float64(r.GetTimeout()) * float64(time.Second)),
		send:    stream.Send,
		end:     func(b *pb.TaskLogsBatch) { b.SetEof(true) },
	})
}

func (s service) AppGetLogs(r *pb.AppGetLogsRequest, stream grpc.ServerStreamingServer[pb.TaskLogsBatch]) error {
	s.mu.Lock()
	a, err := s.app(r.GetAppId())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	last, err := parseEntryID(r.GetLastEntryId())
	if err != nil {
		return err
	}
	return s.follow(stream.Context(), following{
		appID: a.ID,
		fits: func(e logEntry) bool {
			return fits(e.Sandbox, r.GetSandboxId()) && fits(e.Task, r.GetTaskId()) && fromSource(r.GetFileDescriptor(), e)
		},
		done:    func() bool { return !a.Stopped.IsZero() && len(s.runningOf(a.ID)) == 0 },
		last:    last,
		timeout: time.Duration(float64(r.GetTimeout()) * float64(time.Second)),
		send:    stream.Send,
		end:     func(b *pb.TaskLogsBatch) { b.SetAppDone(true) },
	})
}

func fits(value, want string) bool { return want == "" || value == want }

// find returns the entries that a query means.
func (s *Server) find(q newer.LogQuery) ([]logEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.app(q.AppID); err != nil {
		return nil, err
	}
	var found []logEntry
	for _, e := range s.logOf(q.AppID).entries {
		if !e.At.Before(q.Since) && (q.Until.IsZero() || e.At.Before(q.Until)) && fromSource(q.Source, e) &&
			fits(e.Task, q.TaskID) && fits(e.Sandbox, q.SandboxID) && strings.Contains(e.Data, q.Search) {
			found = append(found, e)
		}
	}
	return found, nil
}

// appFetchLogs returns the last entries of some time.
func (s service) appFetchLogs(_ context.Context, request proto.Message) (proto.Message, error) {
	q, err := newer.FetchQuery(request)
	if err != nil {
		return nil, invalid("%v", err)
	}
	entries, err := s.find(q)
	if err != nil {
		return nil, err
	}
	if q.Limit > 0 && len(entries) > q.Limit {
		entries = entries[len(entries)-q.Limit:]
	}
	var batches []*pb.TaskLogsBatch
	for _, e := range entries {
		batches = append(batches, e.batch())
	}
	return newer.FetchAnswer(batches)
}

// appCountLogs counts entries, for a client to plan how to fetch them.
func (s service) appCountLogs(_ context.Context, request proto.Message) (proto.Message, error) {
	q, err := newer.CountQuery(request)
	if err != nil {
		return nil, invalid("%v", err)
	}
	if q.Bucket <= 0 {
		return nil, invalid("bucket_secs is 0")
	}
	entries, err := s.find(q)
	if err != nil {
		return nil, err
	}
	var buckets []newer.LogBucket
	for _, e := range entries {
		start := time.Unix(e.At.Unix()-e.At.Unix()%int64(q.Bucket/time.Second), 0)
		if n := len(buckets); n == 0 || !buckets[n-1].Start.Equal(start) {
			buckets = append(buckets, newer.LogBucket{Start: start})
		}
		b := &buckets[len(buckets)-1]
		switch e.Source {
		case pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT:
			b.Stdout++
		case pb.FileDescriptor_FILE_DESCRIPTOR_STDERR:
			b.Stderr++
		default:
			b.System++
		}
	}
	return newer.CountAnswer(q.AppID, buckets), nil
}
