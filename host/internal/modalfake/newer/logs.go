package newer

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// LogQuery asks for an app's logs of some time.
type LogQuery struct {
	AppID, TaskID, SandboxID, Search string
	Since, Until                     time.Time
	Source                           pb.FileDescriptor // 0 for all
	Limit                            int               // of AppFetchLogs
	Bucket                           time.Duration     // of AppCountLogs
}

// FetchQuery reads an AppFetchLogsRequest.
func FetchQuery(request proto.Message) (LogQuery, error) {
	return query(request, map[string]protowire.Number{"task": 8, "sandbox": 9, "search": 10, "since": 2, "until": 3, "source": 5, "limit": 4})
}

// CountQuery reads an AppCountLogsRequest.
func CountQuery(request proto.Message) (LogQuery, error) {
	return query(request, map[string]protowire.Number{"task": 2, "sandbox": 5, "search": 6, "since": 7, "until": 8, "source": 10, "bucket": 9})
}

func query(request proto.Message, at map[string]protowire.Number) (LogQuery, error) {
	f, err := parse(Raw(request))
	since, errSince := f.time(at["since"])
	until, errUntil := f.time(at["until"])
	return LogQuery{
		AppID: f.text(1), TaskID: f.text(at["task"]), SandboxID: f.text(at["sandbox"]), Search: f.text(at["search"]),
		Since: since, Until: until,
		Source: pb.FileDescriptor(f.numbers[at["source"]]),
		Limit:  int(f.numbers[at["limit"]]),
		Bucket: time.Duration(f.numbers[at["bucket"]]) * time.Second,
	}, errors.Join(err, errSince, errUntil)
}

// FetchAnswer is an AppFetchLogsResponse.
func FetchAnswer(batches []*pb.TaskLogsBatch) (proto.Message, error) {
	var m message
	for _, batch := range batches {
		raw, err := proto.Marshal(batch)
		if err != nil {
			return nil, err
		}
		m = m.bytes(1, raw)
	}
	return m.answer(), nil
}

// LogBucket counts the entries from Start on.
type LogBucket struct {
	Start                  time.Time
	Stdout, Stderr, System uint64
}

// CountAnswer is an AppCountLogsResponse.
func CountAnswer(appID string, buckets []LogBucket) proto.Message {
	m := message(nil).text(1, appID)
	for _, b := range buckets {
		m = m.bytes(2, message(nil).timestamp(1, b.Start).varint(2, b.Stdout).varint(3, b.Stderr).varint(4, b.System))
	}
	return m.answer()
}
