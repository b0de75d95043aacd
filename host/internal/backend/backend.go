package backend

import (
	"context"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Backend is where runs are lived and their volume is. It may be used from several goroutines.
//
// Calls that ask another machine try again by themselves where that may help, so that an error is final for now, and
// carries an exit code: exit.Credentials, exit.Unavailable, or one about what was asked for. All of them may be repeated,
// after an error too. A context that ends makes them return soon; what was done until then stays done.
type Backend interface {
	// Registry is of the runs on the volume. Where that is elsewhere, what is read of a run is as it was at its last
	// Refresh. What is written is durable when the call returns: it survives whatever happens to this process and to this
	// machine.
	Registry() *run.Registry

	// Detach has a run lived until it has ended, by a supervisor that outlives this process and its terminal. The run was
	// created, or locked and readied, and its executables are where Registry has them. It returns once the run is somebody
	// else's to live; an error says that it is not, and the run can be readied again. exit.StillRunning: another process
	// was faster. From then on the run is seen by Refresh and its records alone, and asked to end by AskToStop.
	Detach(ctx context.Context, r *run.Run) error

	// Checkpoints is the store of a run's checkpoints. Where the volume is elsewhere it is to be read only.
	Checkpoints(ctx context.Context, r *run.Run) checkpoint.Store

	// Volume opens a volume by its name. fs.ErrNotExist: there is none.
	Volume(ctx context.Context, name string) (Volume, error)

	// Close releases connections. It ends nothing that lives.
	Close() error
}
