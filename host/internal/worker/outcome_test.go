package worker

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Where there are other machines, what one of them cannot do is no end of the run.
func TestNothingThatAMachineCannotDoEndsARun(t *testing.T) {
	volume := func(errno syscall.Errno) error { return ending{volume: fmt.Errorf("save: %w", errno)}.outcome().Err }
	for name, c := range map[string]struct {
		err  error
		want exit.Code
	}{
		"nothing":                        {nil, exit.OK},
		"a full disk":                    {volume(syscall.ENOSPC), exit.Interrupted},
		"a full disk at the start":       {outputs(syscall.EDQUOT), exit.Interrupted},
		"a full disk at the last":        {newSyncer(func(context.Context) error { return syscall.ENOSPC }).now(t.Context()), exit.Interrupted},
		"a mount that fails":             {volume(syscall.EIO), exit.Interrupted},
		"a mount that is stale":          {outputs(syscall.ESTALE), exit.Interrupted},
		"a full temporary directory":     {temporary(syscall.ENOSPC), exit.Interrupted},
		"a GPU without a driver":         {exit.Errorf(exit.Usage, "its driver does not answer"), exit.Interrupted},
		"something else of this machine": {errors.New("no such device"), exit.Interrupted},
		"other code":                     {exit.Errorf(exit.Mismatch, "the plugin was changed"), exit.Mismatch},
		"no time left":                   {exit.Errorf(exit.TimeLimit, "used up"), exit.TimeLimit},
	} {
		if got := exit.Of(anotherMay(c.err)); got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
}
