package api

import (
	"strconv"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Result is how a Sandbox has ended.
type Result struct {
	Status    Status
	ExitCode  int
	Exception string // in Modal's words; "" for none
}

// Status is Modal's word for an end, by its number.
type Status int

// The statuses that decisions depend on.
const (
	Success Status = 1
	Failure Status = 2
)

func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return strconv.Itoa(int(s))
}

var statusNames = map[Status]string{
	Success: "SUCCESS",
	Failure: "FAILURE",
	3:       "TERMINATED",
	4:       "TIMEOUT",
	5:       "INIT_FAILURE",
	6:       "INTERNAL_FAILURE",
	7:       "IDLE_TIMEOUT",
}

// resultOf is nil for what has not ended.
func resultOf(result *pb.GenericResult) *Result {
	if result.GetStatus() == pb.GenericResult_GENERIC_STATUS_UNSPECIFIED {
		return nil
	}
	return &Result{Status(result.GetStatus()), int(result.GetExitcode()), result.GetException()}
}
