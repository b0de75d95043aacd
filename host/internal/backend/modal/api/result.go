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

// The statuses that decisions depend on, by the numbers of modal_proto.api_pb2 of Modal's Python client 1.6.4: modal-go
// knows them up to IDLE_TIMEOUT.
const (
	Success                 Status = 1
	Failure                 Status = 2
	memoryManagerEviction   Status = 8
	memoryThrashingEviction Status = 9
	kernelOOMKill           Status = 10
)

func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return "status " + strconv.Itoa(int(s))
}

var statusNames = map[Status]string{
	Success:                 "SUCCESS",
	Failure:                 "FAILURE",
	3:                       "TERMINATED",
	4:                       "TIMEOUT",
	5:                       "INIT_FAILURE",
	6:                       "INTERNAL_FAILURE",
	7:                       "IDLE_TIMEOUT",
	memoryManagerEviction:   "MEMORY_MANAGER_EVICTION",
	memoryThrashingEviction: "MEMORY_THRASHING_EVICTION",
	kernelOOMKill:           "KERNEL_OOM_KILL",
}

// OutOfMemory says in words how a Sandbox was ended that used more memory than its machine could give; "" for another end.
func (s Status) OutOfMemory() string {
	switch s {
	case memoryManagerEviction:
		return "Modal's memory manager evicted it"
	case memoryThrashingEviction:
		return "Modal evicted it since its machine was thrashing"
	case kernelOOMKill:
		return "the kernel killed it for its memory"
	default:
		return ""
	}
}

// resultOf is nil for what has not ended.
func resultOf(result *pb.GenericResult) *Result {
	if result.GetStatus() == pb.GenericResult_GENERIC_STATUS_UNSPECIFIED {
		return nil
	}
	return &Result{Status(result.GetStatus()), int(result.GetExitcode()), result.GetException()}
}
