package modalfake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// image is a layer. Nothing is built: a Sandbox sees the files of this machine. Of its commands only ENV and WORKDIR
// mean something.
type image struct {
	ID       string    `json:"id"`
	Key      string    `json:"key"` // of its definition; the same definition is the same image
	Base     string    `json:"base,omitempty"`
	Commands []string  `json:"commands"`
	Created  time.Time `json:"created"`
	Joined   bool      `json:"joined"` // somebody has waited for the build to end
	// Ended is how the build ended, if not with an image: it stays so, and whoever asks for the image gets another build.
	Ended faults.Status `json:"ended,omitempty"`
}

func success() *pb.GenericResult {
	return pb.GenericResult_builder{Status: pb.GenericResult_GENERIC_STATUS_SUCCESS}.Build()
}

func (i *image) result() *pb.GenericResult {
	if i.Ended == "" {
		return success()
	}
	return pb.GenericResult_builder{Status: pb.GenericResult_GenericStatus(i.Ended.Number())}.Build()
}

// ImageGetOrCreate answers without a result until somebody has waited for the image, as for one that is being built.
func (s service) ImageGetOrCreate(_ context.Context, r *pb.ImageGetOrCreateRequest) (*pb.ImageGetOrCreateResponse, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.GetImage())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(raw, r.GetBuilderVersion()...))
	key := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.images.Find(func(i *image) bool { return i.Key == key && i.Ended == "" })
	if i == nil || r.GetForceBuild() {
		i = &image{ID: newID("im"), Key: key, Commands: r.GetImage().GetDockerfileCommands(), Created: time.Now()}
		for _, base := range r.GetImage().GetBaseImages() {
			if err := s.mustBeBuilt(base.GetImageId()); err != nil {
				return nil, err
			}
			i.Base = base.GetImageId()
		}
		if err := s.images.Put(i.ID, i); err != nil {
			return nil, err
		}
	}
	response := pb.ImageGetOrCreateResponse_builder{ImageId: i.ID}.Build()
	if i.Joined {
		response.SetResult(success())
		response.SetMetadata(&pb.ImageMetadata{})
	}
	return response, nil
}

// mustBeBuilt refuses an image that is not there, or whose build has ended without one. The caller holds mu.
func (s *Server) mustBeBuilt(id string) error {
	switch i := s.images.Get(id); {
	case i == nil:
		return notFound("Image '%s' not found", id)
	case i.Ended != "":
		return status.Errorf(codes.FailedPrecondition, "Image '%s' has not been built", id)
	default:
		return nil
	}
}

// join is the end of an image's build, which the dice decide when it is first waited for.
func (s *Server) join(id string) (*image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.images.Get(id)
	if i == nil {
		return nil, notFound("Image '%s' not found", id)
	}
	if !i.Joined && s.dice.EndBuild() {
		i.Ended = s.dice.Now().BuildStatus
	}
	i.Joined = true
	return i, s.images.Put(i.ID, i)
}

// ImageJoinStreaming sends the log of the build and its result.
func (s service) ImageJoinStreaming(r *pb.ImageJoinStreamingRequest, stream grpc.ServerStreamingServer[pb.ImageJoinStreamingResponse]) error {
	i, err := s.join(r.GetImageId())
	if err != nil {
		return err
	}
	if r.GetLastEntryId() == "" {
		log := pb.TaskLogs_builder{Data: strings.Join(i.Commands, "\n") + "\n", Timestamp: seconds(i.Created), FileDescriptor: pb.FileDescriptor_FILE_DESCRIPTOR_STDOUT}.Build()
		if err := stream.Send(pb.ImageJoinStreamingResponse_builder{TaskLogs: []*pb.TaskLogs{log}, EntryId: "1-0"}.Build()); err != nil {
			return err
		}
	}
	return stream.Send(pb.ImageJoinStreamingResponse_builder{Result: i.result(), EntryId: "2-0", Eof: true, Metadata: &pb.ImageMetadata{}}.Build())
}

func (s service) ImageFromId(_ context.Context, r *pb.ImageFromIdRequest) (*pb.ImageFromIdResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.images.Get(r.GetImageId()) == nil {
		return nil, notFound("Image '%s' not found", r.GetImageId())
	}
	return pb.ImageFromIdResponse_builder{ImageId: r.GetImageId(), Metadata: &pb.ImageMetadata{}}.Build(), nil
}

func (s service) ImageDelete(_ context.Context, r *pb.ImageDeleteRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.images.Get(r.GetImageId()) == nil {
		return nil, notFound("Image '%s' not found", r.GetImageId())
	}
	return &emptypb.Empty{}, s.images.Delete(r.GetImageId())
}

// imageEnv is what the commands of an image and of those below it set. The caller holds mu.
func (s *Server) imageEnv(id string) (env []string, workdir string) {
	i := s.images.Get(id)
	if i == nil {
		return nil, ""
	}
	env, workdir = s.imageEnv(i.Base)
	for _, command := range i.Commands {
		verb, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
		rest = strings.TrimSpace(rest)
		switch strings.ToUpper(verb) {
		case "ENV":
			if name, value, ok := strings.Cut(rest, "="); ok { // one to a line, which is all that mtt writes
				env = append(env, name+"="+strings.Trim(value, `"'`))
			}
		case "WORKDIR":
			workdir = rest
		}
	}
	return env, workdir
}
