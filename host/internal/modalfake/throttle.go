package modalfake

import (
	"math"
	"net/http"
	"strconv"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// refuse counts a call, and returns the error with which it is refused before it is carried out; nil if it is not.
func (s *Server) refuse(call string) error {
	var billed *faults.Throttling
	throttled := s.dice.Throttle(call)
	if throttled == nil {
		billed = s.dice.Billing(call)
	}
	s.calls.add(call, throttled, billed)
	switch {
	case throttled != nil:
		return throttledStatus(throttled)
	case billed != nil:
		return throttledStatus(billed)
	default:
		return nil
	}
}

// throttledStatus packs the policy as Modal's server does, under a type URL of its own.
func throttledStatus(t *faults.Throttling) error {
	all := status.New(t.Code, t.Text).Proto()
	if t.HasPolicy {
		policy := pb.RPCRetryPolicy_builder{RetryAfterSecs: float32(t.After.Seconds())}.Build()
		raw, err := proto.Marshal(policy)
		if err != nil {
			return err
		}
		all.Details = []*anypb.Any{{TypeUrl: "type.modal.com/" + string(policy.ProtoReflect().Descriptor().FullName()), Value: raw}}
	}
	return status.FromProto(all).Err()
}

// refuseRequest is refuse for a request for a block. It says whether it has answered.
func (s *Server) refuseRequest(w http.ResponseWriter, name string) bool {
	throttled := s.dice.Throttle(name)
	s.calls.add(name, throttled, nil)
	if throttled == nil {
		return false
	}
	if throttled.HasPolicy {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(throttled.After.Seconds()))))
	}
	http.Error(w, throttled.Text, http.StatusTooManyRequests)
	return true
}
