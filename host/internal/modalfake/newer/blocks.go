package newer

import (
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// clientPadsBlocks is the number of the field of VolumeGetFile2Request.
const clientPadsBlocks protowire.Number = 5

// ClientPadsBlocks says whether a client puts back the zero bytes that a block lacks at its end.
func ClientPadsBlocks(r *pb.VolumeGetFile2Request) (bool, error) {
	f, err := parse(r.ProtoReflect().GetUnknown())
	return f.numbers[clientPadsBlocks] != 0, err
}
