package modalfake

import (
	"regexp"

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

// What modal/_utils/name_utils.py of Modal's Python client 1.6.4 accepts as the name of an app, a volume, a Secret or a
// Sandbox.
const maxName = 64

var (
	validName = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	appID     = regexp.MustCompile(`^ap-[a-zA-Z0-9]{22}$`)
)

// checkName refuses what is no name for a thing, such as a Volume.
func checkName(thing, name string) error {
	if len(name) > maxName || !validName.MatchString(name) || appID.MatchString(name) {
		return invalid("Invalid %s name: '%s'. Names may contain only alphanumeric characters, dashes, periods, and underscores, "+
			"must be at most %d characters, and cannot conflict with App ID strings.", thing, name, maxName)
	}
	return nil
}

// creation is what a GetOrCreate call makes of an object that is there, or is not.
type creation struct {
	make      bool // the object is to be made
	nameless  bool // it lives as long as its client says so; here it is never removed
	overwrite bool
}

// decide reads the rules of a GetOrCreate call, and refuses to make what would have no valid name.
func decide(kind pb.ObjectCreationType, exists bool, what, name string) (creation, error) {
	do, err := rule(kind, exists, what, name)
	if err == nil && do.make && !do.nameless {
		err = checkName(what, name)
	}
	return do, err
}

func rule(kind pb.ObjectCreationType, exists bool, what, name string) (creation, error) {
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
