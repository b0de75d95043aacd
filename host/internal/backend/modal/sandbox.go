package modal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// gpuConfig reads a GPU as Modal writes it: H100, or H100:2.
func gpuConfig(gpu string) (api.GPU, error) {
	if gpu == "" {
		return api.GPU{}, nil
	}
	kind, count, counted := strings.Cut(gpu, ":")
	n := uint64(1)
	if counted {
		var err error
		if n, err = strconv.ParseUint(count, 10, 8); err != nil || n == 0 {
			return api.GPU{}, exit.Errorf(exit.Usage, "--gpu %s: want a type such as H100, or a type and a number such as H100:2", gpu)
		}
	}
	return api.GPU{Type: strings.ToUpper(kind), Count: int(n)}, nil
}

// gpuText is what gpuConfig reads.
func gpuText(gpu api.GPU) string {
	if gpu.Count > 1 {
		return fmt.Sprintf("%s:%d", gpu.Type, gpu.Count)
	}
	return gpu.Type
}

// Tags with the run, and the attempt, that a Sandbox is of.
const (
	runTag     = "mtt_run"
	attemptTag = "mtt_attempt"
)

// appOf is the name of the app of all Sandboxes whose runs are on a volume: names of runs are a volume's own.
func appOf(volume string) string { return "mtt-" + volume }

// workerName and supervisorName are names of Sandboxes.
func workerName(run string) string { return "mtt-" + run }

func supervisorName(run string, n int) string { return fmt.Sprintf("mtt-%s.s%d", run, n) }

// runOf is the run that a Sandbox of that name belongs to; "" for none.
func runOf(name string) string {
	run, ours := strings.CutPrefix(name, "mtt-")
	if !ours {
		return ""
	}
	if i := strings.LastIndex(run, ".s"); i > 0 {
		if _, err := strconv.Atoi(run[i+2:]); err == nil {
			return run[:i]
		}
	}
	return run
}

// CheckID refuses a run's name that could be mistaken for that of another run's supervisor.
func CheckID(id string) error {
	if runOf(workerName(id)) != id {
		return exit.Errorf(exit.Usage, "%q cannot be the name of a run on Modal: the Sandboxes of supervisors are named so", id).
			Hint("Choose a name that does not end in .s and a number.")
	}
	return nil
}
