package sdk

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// conclude makes the checkpoint that the end of Train asks for, and turns the end into the answer to the host. An error
// is a status: the experiment has logged what the wire does not admit.
func (r *Run) conclude(result Result, err error) (*experimentv1.TrainResponse, error) {
	outcome := experimentv1.Outcome_OUTCOME_FINISHED
	switch {
	case err == nil:
		_, err = protect(func() (Result, error) { return nil, r.saveFinal(result) })
	case errors.Is(err, ErrStopped) && r.Stopped():
		outcome, result = experimentv1.Outcome_OUTCOME_STOPPED, nil
		_, err = protect(func() (Result, error) { return nil, r.saveStopped() })
	case errors.Is(err, ErrStopped):
		err = errors.New("Train returned ErrStopped, and nobody had asked it to stop")
	}
	if err = r.settle(err); err != nil {
		return failure(err, r.last)
	}
	return &experimentv1.TrainResponse{Outcome: outcome, LastStep: uint64(r.last), Result: result}, nil
}

// saveFinal makes the checkpoint with which a run is complete; without blobs if the experiment has no state.
func (r *Run) saveFinal(result Result) error {
	if err := r.checkResumed(); err != nil {
		return err
	}
	if err := wire.CheckResult(result); err != nil {
		return err
	}
	return r.save(r.last, experimentv1.Reason_REASON_FINAL, result)
}

// saveStopped makes the checkpoint of a stop if the experiment has not: it cannot when the request came after it asked
// ShouldSave and before it asked Stopped.
func (r *Run) saveStopped() error {
	if err := r.checkResumed(); err != nil {
		return err
	}
	if r.state == nil || r.last <= r.saveNext.savedStep {
		return nil
	}
	return r.save(r.last, experimentv1.Reason_REASON_STOP, nil)
}

// settle waits for what is under way to the host, however Train ended, and adds its errors to that of the experiment.
func (r *Run) settle(err error) error {
	saveErr := r.saver.wait()
	_, metricsErr := r.Metrics.flush()
	for _, also := range []error{saveErr, metricsErr} {
		if also != nil && !errors.Is(err, also) { // the experiment may have passed it on
			err = errors.Join(err, also)
		}
	}
	return err
}

// failure is the answer of a Train that failed. What an error says has no limit; what is sent of it has.
func failure(err error, last int64) (*experimentv1.TrainResponse, error) {
	response := &experimentv1.TrainResponse{
		Outcome:  experimentv1.Outcome_OUTCOME_FAILED,
		LastStep: uint64(last),
		Failure:  &experimentv1.Failure{Message: wire.Text(err.Error(), wire.MaxFailureBytes)},
	}
	var panicked *panicError
	switch {
	case errors.As(err, &panicked):
		response.Outcome = experimentv1.Outcome_OUTCOME_PANICKED
		response.Failure.Stack = wire.Text(panicked.stack, wire.MaxFailureBytes)
	case errors.As(err, new(*badPointError)):
		return nil, status.Error(codes.OutOfRange, response.Failure.Message) // and not what a configuration is refused with
	}
	return response, nil
}
