package worker

import (
	"context"
	"errors"
	"maps"
	"math"
	"sync"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// metricService writes the metrics of one attempt to its event file.
type metricService struct {
	experimentv1.UnimplementedMetricServiceServer

	events *tensorboard.Writer
	life   *life
	fail   func(error) // records a failure of the volume, which is not the plugin's

	mu       sync.Mutex
	through  uint64 // number of the last point received
	latest   checkpoint.Metrics
	progress run.Progress
	breach   error // of the protocol, in a call; there is no save after it
}

func newMetricService(events *tensorboard.Writer, resumed *checkpoint.Manifest, life *life, fail func(error)) *metricService {
	s := &metricService{events: events, life: life, fail: fail, latest: checkpoint.Metrics{}}
	if resumed != nil {
		maps.Copy(s.latest, resumed.Metrics)
		s.progress.Step = resumed.Step
	}
	return s
}

// LogMetrics appends a batch; see the service's definition for its rules.
func (s *metricService) LogMetrics(_ context.Context, request *experimentv1.LogMetricsRequest) (*experimentv1.LogMetricsResponse, error) {
	defer s.life.hold()()
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh, err := s.taken(request)
	if err != nil {
		// Else a plugin that goes on would lose its curves in silence.
		s.breach = err
		s.fail(&breachError{status.Convert(err).Message()})
		return nil, err
	}
	if progress := request.GetProgress(); progress != nil {
		s.progress = run.Progress{Step: progress.GetStep(), TotalSteps: progress.GetTotalSteps()}
	}
	if len(fresh) > 0 {
		if err := s.append(fresh); err != nil {
			return nil, err
		}
	}
	return &experimentv1.LogMetricsResponse{Through: s.through}, nil
}

// taken returns the points of a request that are to be appended; an error if the request breaks a rule.
func (s *metricService) taken(request *experimentv1.LogMetricsRequest) ([]*experimentv1.ScalarPoint, error) {
	if progress := request.GetProgress(); progress.GetStep() >= math.MaxInt64 || progress.GetTotalSteps() > math.MaxInt64 {
		return nil, protocolErrorf("progress is step %d of %d: steps are below 2^63-1", progress.GetStep(), progress.GetTotalSteps())
	}
	if len(request.GetScalars()) == 0 {
		return nil, nil
	}
	fresh, err := s.unseen(request.GetFirst(), request.GetScalars())
	if err != nil {
		return nil, err
	}
	return fresh, s.check(fresh)
}

// unseen returns the points of a batch that were not received before.
func (s *metricService) unseen(first uint64, scalars []*experimentv1.ScalarPoint) ([]*experimentv1.ScalarPoint, error) {
	if len(scalars) > wire.MaxBatchPoints {
		return nil, protocolErrorf("a batch of %d points: at most %d", len(scalars), wire.MaxBatchPoints)
	}
	if first == 0 || first > s.through+1 {
		return nil, protocolErrorf("a batch that begins with point %d, after point %d", first, s.through)
	}
	seen := min(s.through+1-first, uint64(len(scalars)))
	return scalars[seen:], nil
}

func (s *metricService) append(scalars []*experimentv1.ScalarPoint) error {
	points := make([]tensorboard.Point, len(scalars))
	for i, scalar := range scalars {
		points[i] = tensorboard.Point{
			Tag: scalar.GetTag(), Step: int64(scalar.GetStep()),
			Value: float32(scalar.GetValue()), WallTime: scalar.GetWallTime(),
		}
	}
	if err := s.events.Add(points); err != nil {
		return s.broken(err)
	}
	for _, scalar := range scalars {
		s.latest[scalar.GetTag()] = float64(float32(scalar.GetValue()))
	}
	s.through += uint64(len(scalars))
	return nil
}

// check refuses a batch of which any point breaks a rule: nothing of it is taken.
func (s *metricService) check(scalars []*experimentv1.ScalarPoint) error {
	fresh := map[string]bool{}
	for _, scalar := range scalars {
		tag := scalar.GetTag()
		if err := wire.CheckTag(tag); err != nil {
			return protocolErrorf("%v", err)
		}
		if scalar.GetStep() >= math.MaxInt64 { // the last one hides points in event files
			return protocolErrorf("a point of %q at step %d: steps are below 2^63-1", tag, scalar.GetStep())
		}
		if _, known := s.latest[tag]; known || fresh[tag] {
			continue
		}
		if fresh[tag] = true; len(s.latest)+len(fresh) > wire.MaxTags {
			return protocolErrorf("the metric %q is one too many: a run has at most %d tags", tag, wire.MaxTags)
		}
	}
	return nil
}

// logged is what a run has logged up to some point: of each tag, the latest value and the largest step.
type logged struct {
	latest    checkpoint.Metrics
	lastSteps map[string]int64
}

// barrier returns what was logged, for a save whose history ends with point n: a save that calls it as soon as its
// header has come gets the metrics that belong to its step, and the largest steps up to it. With larger ones, a resume
// from it would have to read and repeat points that need not be.
func (s *metricService) barrier(n uint64) (logged, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breach != nil {
		return logged{}, s.breach
	}
	if n > s.through {
		return logged{}, protocolErrorf("a save behind metric point %d, where %d were logged", n, s.through)
	}
	return logged{maps.Clone(s.latest), s.events.LastSteps()}, nil
}

// durable returns the place in the event files right behind point n, once everything before it is on the disk.
func (s *metricService) durable(n uint64) (checkpoint.Place, error) {
	at, err := s.events.PlaceAfter(n)
	if err != nil {
		return checkpoint.Place{}, s.broken(err)
	}
	return checkpoint.Place(at), nil
}

func (s *metricService) broken(err error) error {
	s.fail(err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// reached returns where training is, and the number of the last point.
func (s *metricService) reached() (run.Progress, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress, s.through
}

// now returns where training is, and the latest value of each tag.
func (s *metricService) now() (run.Progress, checkpoint.Metrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress, maps.Clone(s.latest)
}
