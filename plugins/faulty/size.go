package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
	"github.com/mtt-project/mtt/sdk"
)

// tooMuch is a plugin without the SDK that sends more of something than the wire allows.
func tooMuch(train func(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error)) func() {
	return func() { serveWire(1, wireFault{train: train}) }
}

// describesTooMuch is one whose description has too much of something.
func describesTooMuch(change func(*experimentv1.DescribeResponse)) func() {
	return func() { serveWire(1, wireFault{described: change}) }
}

func longSummary(d *experimentv1.DescribeResponse) { d.Summary = strings.Repeat("x", 10_000) }

func longDescription(d *experimentv1.DescribeResponse) { d.Version = strings.Repeat("x", 6<<20) }

func largeSchema(d *experimentv1.DescribeResponse) {
	d.ConfigSchema = fmt.Appendf(nil, `{"type":"object","description":%q}`, strings.Repeat("x", 2<<20))
}

func manyResultMetrics(d *experimentv1.DescribeResponse) {
	for i := range 2000 {
		d.ResultMetrics = append(d.ResultMetrics, &experimentv1.ResultMetric{Name: fmt.Sprint(i), Direction: experimentv1.Direction_DIRECTION_MAX})
	}
}

func manyDevices(d *experimentv1.DescribeResponse) { d.Devices = make([]string, 1000) }

func names(n int) map[string]float64 {
	result := map[string]float64{}
	for i := range n {
		result[fmt.Sprint("name ", i)] = 1
	}
	return result
}

func returnManyResults(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return &experimentv1.TrainResponse{Outcome: experimentv1.Outcome_OUTCOME_FINISHED, Result: names(2000)}, nil
}

func saveManyResults(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, saveWith(ctx, host, &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_FINAL, Result: names(2000)})
}

func fail(message, stack int) func(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return func(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
		return &experimentv1.TrainResponse{Outcome: experimentv1.Outcome_OUTCOME_FAILED, Failure: &experimentv1.Failure{
			Message: "it failed " + strings.Repeat("m", message), Stack: "somewhere " + strings.Repeat("s", stack),
		}}, nil
	}
}

func failWithStatus(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, status.Error(codes.Unknown, "it failed "+strings.Repeat("m", 1<<20))
}

func logPoints(points, tag, perBatch int) func(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return func(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
		for first := 0; first < points; first += perBatch {
			request := &experimentv1.LogMetricsRequest{First: uint64(first) + 1}
			for i := first; i < min(first+perBatch, points); i++ {
				request.Scalars = append(request.Scalars, &experimentv1.ScalarPoint{Tag: fmt.Sprintf("%0*d", tag, i), Step: 1})
			}
			if _, err := experimentv1.NewMetricServiceClient(host).LogMetrics(ctx, request); err != nil {
				return nil, err
			}
		}
		return nil, errors.New("all was taken")
	}
}

func logControlTags(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	client := experimentv1.NewMetricServiceClient(host)
	for i := range wire.MaxTags {
		_, err := client.LogMetrics(ctx, &experimentv1.LogMetricsRequest{
			First: uint64(i) + 1, Scalars: []*experimentv1.ScalarPoint{{Tag: longTag(i, "\x01"), Step: 1}},
		})
		if err != nil {
			return nil, err
		}
	}
	return nil, saveWith(ctx, host, &experimentv1.SaveHeader{Step: 1, Reason: experimentv1.Reason_REASON_MANUAL, MetricsThrough: wire.MaxTags})
}

func logLastStep(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	_, err := experimentv1.NewMetricServiceClient(host).LogMetrics(ctx, &experimentv1.LogMetricsRequest{
		First: 1, Scalars: []*experimentv1.ScalarPoint{{Tag: "loss", Step: math.MaxInt64}},
	})
	return nil, errors.Join(err, errors.New("it was taken"))
}

// longTag is the i-th tag of the most bytes that one may have, nearly all of them the same character.
func longTag(i int, character string) string {
	return fmt.Sprintf("%05d", i) + strings.Repeat(character, wire.MaxTagBytes-5)
}

func saveChunk(size int) func(context.Context, *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return func(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
		return nil, save(ctx, host,
			&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: "state"}},
			&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: make([]byte, size)}},
		)
	}
}

func saveManyBlobs(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	var frames []*experimentv1.BlobFrame
	for i := range wire.MaxBlobs + 1 {
		frames = append(frames,
			&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: fmt.Sprint("blob-", i)}},
			&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_End{End: &experimentv1.BlobEnd{}}})
	}
	return nil, save(ctx, host, frames...)
}

func saveLongName(ctx context.Context, host *grpc.ClientConn) (*experimentv1.TrainResponse, error) {
	return nil, save(ctx, host, &experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Start{Start: strings.Repeat("x", 129)}})
}

// Through the SDK, in step 10.
var tooMuchOf = map[string]func(*sdk.Run) error{
	"error-huge": func(*sdk.Run) error { return errors.New("it failed " + strings.Repeat("m", 100_000_000)) },
	"panic-huge": func(*sdk.Run) error { panic("it panicked " + strings.Repeat("m", 10_000_000)) },
	"tags": func(run *sdk.Run) error {
		for i := range 12_000 {
			run.Metrics.Scalar(10, fmt.Sprint("tag/", i), 1)
		}
		return nil
	},
	"control-tags": func(run *sdk.Run) error {
		for i := range wire.MaxTags - 1 { // and "count"
			run.Metrics.Scalar(10, longTag(i, "\x01"), 1)
		}
		return nil
	},
	"prints-long-lines": func(*sdk.Run) error {
		fmt.Println(strings.Repeat("x", 200_000))
		fmt.Println(strings.Repeat("\xff", 40_000))
		return nil
	},
	"prints-without-end": func(*sdk.Run) error { _, err := fmt.Print("the last words"); return err },
	"bar": func(*sdk.Run) error {
		for i := range 50 {
			fmt.Fprintf(os.Stderr, "\rloading %d%%", 2*(i+1))
			time.Sleep(100 * time.Millisecond)
		}
		fmt.Fprintln(os.Stderr)
		return nil
	},
	"dots": func(*sdk.Run) error {
		for range 50 {
			fmt.Fprint(os.Stderr, ".")
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	},
	"many-lines": func(*sdk.Run) error {
		line := strings.Repeat("x", 1000)
		for i := range 40_000 {
			fmt.Printf("line %d %s\n", i+1, line)
		}
		return nil
	},
}
