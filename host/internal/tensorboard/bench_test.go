package tensorboard_test

import (
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// BenchmarkAdd is for one scalar, its write included.
func BenchmarkAdd(b *testing.B) {
	writer, err := tensorboard.Create(b.TempDir(), tensorboard.Options{Attempt: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	points := make([]tensorboard.Point, 1000)
	for i := range points {
		points[i] = tensorboard.Point{Tag: "train/loss", Step: int64(i), Value: 0.5, WallTime: 1.7e9}
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(points) {
		if err := writer.Add(points); err != nil {
			b.Fatal(err)
		}
	}
}
