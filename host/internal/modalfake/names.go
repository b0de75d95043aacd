package modalfake

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// defaultEnvironment is that of a client which names none.
const defaultEnvironment = "main"

func environment(name string) string {
	if name == "" {
		return defaultEnvironment
	}
	return name
}

// creation is what a GetOrCreate call makes of an object that is there, or is not.
type creation struct {
	make      bool // the object is to be made
	nameless  bool // it lives as long as its client says so; here it is never removed
	overwrite bool
}

// decide reads the rules of a GetOrCreate call.
func decide(kind pb.ObjectCreationType, exists bool, what, name string) (creation, error) {
	switch kind {
	case pb.ObjectCreationType_OBJECT_CREATION_TYPE_EPHEMERAL, pb.ObjectCreationType_OBJECT_CREATION_TYPE_ANONYMOUS_OWNED_BY_APP:
		return creation{make: true, nameless: true}, nil
	case pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
		return creation{make: !exists}, nil
	case pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
		if exists {
			return creation{}, status.Errorf(codes.AlreadyExists, "%s '%s' already exists", what, name)
		}
		return creation{make: true}, nil
	case pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS:
		return creation{make: !exists, overwrite: exists}, nil
	default:
		if !exists {
			return creation{}, notFound("%s '%s' not found", what, name)
		}
		return creation{}, nil
	}
}
