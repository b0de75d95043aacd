package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

func TestTextIsCutAloudAndEscaped(t *testing.T) {
	const limit = 60
	x := func(n int) string { return strings.Repeat("x", n) }
	for raw, want := range map[string]string{
		"":                         "",
		"caf\xe9":                  `caf\xe9`,
		"a\xffä\uFFFD":             "a\\xffä\uFFFD", // the last is a character like others
		x(60):                      x(60),
		x(61):                      x(20) + "… (41 bytes more)",
		x(59) + "ä":                x(20) + "… (41 bytes more)",
		x(19) + "äöü" + x(60):      x(19) + "… (66 bytes more)",
		strings.Repeat("\xff", 15): strings.Repeat(`\xff`, 15),
		strings.Repeat("\xff", 16): strings.Repeat(`\xff`, 5) + "… (11 bytes more)",
	} {
		got := wire.Text(raw, limit)
		if got != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
		if again := wire.Text(got, limit); again != got || len(got) > limit {
			t.Errorf("%q becomes %q", got, again)
		}
	}
	if got := wire.Beginning([]byte(x(limit)), 200_000, limit); got != x(20)+"… (199980 bytes more)" {
		t.Errorf("the beginning is %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("\xe2\x82"), 60)
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		if limit < 60 || limit > 1<<20 {
			return
		}
		if got := wire.Text(raw, limit); len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("%q of %d bytes", got, limit)
		}
	})
}

func TestResultHasALimit(t *testing.T) {
	many := map[string]float64{}
	for i := range wire.MaxResults {
		many[fmt.Sprint(i)] = 1
	}
	if err := wire.CheckResult(many); err != nil {
		t.Error(err)
	}
	many["one more"] = 1
	for want, result := range map[string]map[string]float64{
		"1001 names: at most 1000":    many,
		"has 513 bytes: at most 512":  {strings.Repeat("x", 513): 1},
		"is empty":                    {"": 1},
		`the name "\xff" in the resu`: {"\xff": 1},
	} {
		if err := wire.CheckResult(result); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// What keeps to the limits is a message that a receiver takes.
func TestLargestMessagesFit(t *testing.T) {
	tag := strings.Repeat("x", wire.MaxTagBytes)
	batch := &experimentv1.LogMetricsRequest{First: 1 << 63, Progress: &experimentv1.Progress{Step: 1 << 63, TotalSteps: 1 << 63}}
	for range wire.MaxBatchPoints {
		batch.Scalars = append(batch.Scalars, &experimentv1.ScalarPoint{Tag: tag, Step: 1 << 63, Value: 1, WallTime: 1})
	}
	result := map[string]float64{}
	for i := range wire.MaxResults {
		result[fmt.Sprintf("%0*d", wire.MaxResultNameBytes, i)] = 1
	}
	resume := &experimentv1.Checkpoint{Id: tag, Step: 1 << 63}
	for i := range wire.MaxBlobs {
		resume.Blobs = append(resume.Blobs, &experimentv1.BlobInfo{Name: fmt.Sprintf("%0128d", i), Size: 1 << 63})
	}
	text := strings.Repeat("x", wire.MaxTextBytes)
	described := &experimentv1.DescribeResponse{Version: text, SdkVersion: text, Summary: text, ConfigSchema: make([]byte, wire.MaxConfigBytes)}
	for range wire.MaxDescribed {
		described.Devices = append(described.Devices, text)
	}
	for name := range result {
		described.ResultMetrics = append(described.ResultMetrics, &experimentv1.ResultMetric{Name: name, Direction: experimentv1.Direction_DIRECTION_MAX})
	}
	failure := strings.Repeat("x", wire.MaxFailureBytes)
	for _, message := range []proto.Message{
		batch, described, resume,
		&experimentv1.SaveHeader{Step: 1 << 63, SizeHint: 1 << 63, MetricsThrough: 1 << 63, Result: result},
		&experimentv1.BlobFrame{Frame: &experimentv1.BlobFrame_Chunk{Chunk: make([]byte, wire.ChunkSize)}},
		&experimentv1.TrainRequest{ConfigJson: make([]byte, wire.MaxConfigBytes), Resume: resume},
		&experimentv1.TrainResponse{LastStep: 1 << 63, Result: result, Failure: &experimentv1.Failure{Message: failure, Stack: failure}},
	} {
		if size := proto.Size(message); size > wire.MaxMessageBytes*3/4 {
			t.Errorf("a %T can have %d bytes, which leaves no room below %d", message, size, wire.MaxMessageBytes)
		}
	}
}
