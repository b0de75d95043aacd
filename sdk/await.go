package sdk

import (
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// answer is what Train answers the host.
type answer struct {
	response *experimentv1.TrainResponse
	err      error
}

func answerOf(response *experimentv1.TrainResponse, err error) answer { return answer{response, err} }

// await returns the answer once Train has been concluded. An experiment that fails of a wrong metric and asks for nothing
// that would tell it so is not waited for.
func (r *Run) await(concluded <-chan answer) answer {
	select {
	case answer := <-concluded:
		return answer
	case <-r.ctx.Done():
	}
	mistake := r.mistake()
	if mistake == nil { // the host gives up, and leaveWhenCancelled sees to the rest
		return <-concluded
	}
	select {
	case answer := <-concluded:
		return answer
	case <-time.After(cancelGrace):
		return answerOf(failure(mistake, r.Metrics.reached()))
	}
}
