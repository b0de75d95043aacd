package modalfake

import (
	"context"
	"time"

	"google.golang.org/grpc"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

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
