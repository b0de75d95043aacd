package modal_test

import (
	"crypto/sha256"
	"fmt"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

func sum(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

func (l *lab) id(name string) string {
	l.Helper()
	answer, err := l.client.Raw.VolumeGetOrCreate(l.Context(), pb.VolumeGetOrCreateRequest_builder{DeploymentName: name}.Build())
	if err != nil {
		l.Fatal(err)
	}
	return answer.GetVolumeId()
}
