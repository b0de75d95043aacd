package sdk

// Run is the handle of one attempt of a run: what the host asked for, and the way to report back.
// (Being written: see the method set in the package comment and in this list.)
//
//	Context() context.Context        cancelled when the attempt must end at once
//	ID() string                      the run's id
//	Attempt() int                    from 1
//	Seed() int64                     below 2^53
//	Device() string                  "auto", "go", "cpu", "cuda"
//	OutputDir() string               absolute, exists
//	Resume(State) (step int64, err)  registers the state, loads the checkpoint if there is one
//	ShouldSave(step int64) bool      at a step boundary: cadence or stop asks for a checkpoint
//	Save(step int64) error
//	Stopped() bool
//	Progress(step, total int64)
//	Metrics *Metrics                 .Scalar(step int64, tag string, value float64)
type Run struct{}
