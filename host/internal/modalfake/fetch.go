package modalfake

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/mtt-project/mtt/host/internal/modalfake/newer"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

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
