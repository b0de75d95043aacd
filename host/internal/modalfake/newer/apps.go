package newer

import (
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// AppLifecycle is how an app stands.
type AppLifecycle struct {
	State                pb.AppState
	CreatedAt            time.Time
	StoppedAt            time.Time // zero while it is not stopped
	CreatedBy, StoppedBy string
}

func (l AppLifecycle) message() message {
	m := message(nil).varint(1, uint64(l.State)).seconds(2, l.CreatedAt).text(3, l.CreatedBy).seconds(4, l.CreatedAt).text(5, l.CreatedBy).varint(6, 1)
	return m.seconds(7, l.StoppedAt).text(8, l.StoppedBy)
}

// Answer is an AppGetLifecycleResponse.
func (l AppLifecycle) Answer() proto.Message {
	return message(nil).bytes(1, l.message()).answer()
}

// AddToAppByName adds to an AppGetByDeploymentNameResponse what it has since: the app that had the name last, the
// environment and the lifecycle.
func AddToAppByName(response *pb.AppGetByDeploymentNameResponse, previous, environment string, l *AppLifecycle) {
	m := message(nil).text(2, previous).text(3, environment)
	if l != nil {
		m = m.bytes(4, l.message())
	}
	response.ProtoReflect().SetUnknown([]byte(m))
}

// AppID reads an AppGetLifecycleRequest.
func AppID(request proto.Message) (string, error) {
	f, err := parse(Raw(request))
	return f.text(1), err
}

// TaskListApp reads from a TaskListRequest the app that it is about, which it has since; "" for all.
func TaskListApp(request *pb.TaskListRequest) string {
	f, err := parse(Raw(request))
	if err != nil {
		return ""
	}
	return f.text(2)
}
