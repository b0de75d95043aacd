package wire

import (
	"fmt"
	"unicode/utf8"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// Limits of the wire, which both sides check: the sender where the data is made, so that an error has its name, and the
// receiver, since the sender may be another program. experiment.proto states them.
const (
	// MaxMessageBytes is what a receiver takes: gRPC's own default, so that a peer that sets nothing agrees. All that is
	// below keeps messages under it, with room for the fields around: the largest are a batch of 4096 points with tags
	// of 512 bytes, at 2.3 MB, and a TrainRequest with a configuration of 1 MiB.
	MaxMessageBytes = 4 << 20

	// ChunkSize is the content of one blob frame. At a quarter of it the cost of a message shows (0.87 of the speed
	// was measured, 0.57 at 64 KiB); more of it would only be held in memory on both sides, and must stay below
	// MaxMessageBytes with the frame around it.
	ChunkSize = 1 << 20
	// MaxBlobs bounds the files of one checkpoint, each of which costs an fsync, and with them a manifest's size. A
	// model of more tensors puts many into one blob.
	MaxBlobs = 1024

	// MaxTagBytes keeps a tag readable, and MaxBatchPoints points, of about 32 bytes besides the tag, at half of
	// MaxMessageBytes.
	MaxTagBytes = 512
	// MaxTags bounds what the host remembers of an attempt, and every manifest has: the latest value of each tag.
	MaxTags = 10_000
	// MaxBatchPoints bounds one LogMetrics message. With 100 points a message the cost of a call no longer shows, so
	// this is for a sender that has fallen behind. It may grow only as MaxTagBytes allows.
	MaxBatchPoints = 4096

	// MaxConfigBytes bounds a configuration, and its schema: run.json and every manifest have the one, and every command
	// that starts a run reads the other. Data belongs in files, which a run is given by --mount.
	MaxConfigBytes = 1 << 20
	// MaxResults and MaxResultNameBytes bound a result, which result.json, the final manifest and every listing have.
	MaxResults         = 1000
	MaxResultNameBytes = 512
	// MaxFailureBytes bounds an error's message, and its stack: end.json, result.json, the log and the terminal have both,
	// and a person reads neither to its end.
	MaxFailureBytes = 64 << 10
	// MaxTextBytes bounds each of the words that an experiment says of itself: version, summary, names of devices.
	MaxTextBytes = 1 << 10
	// MaxDescribed bounds the lists of an experiment's description other than that of result metrics.
	MaxDescribed = 100

	// MaxLineBytes bounds a line that a plugin prints: longer ones are data, and nobody reads them in a log.
	MaxLineBytes = 16 << 10

	// MaxSeed is the first seed that is refused: a float64, which is all that many JSON readers have, is exact below.
	MaxSeed = 1 << 53
)

// CheckResult says what is wrong with the result of a run.
func CheckResult(result map[string]float64) error {
	if len(result) > MaxResults {
		return fmt.Errorf("the result has %d names: at most %d", len(result), MaxResults)
	}
	for name := range result {
		if err := checkResultName(name); err != nil {
			return err
		}
	}
	return nil
}

func checkResultName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a name in the result is empty")
	case len(name) > MaxResultNameBytes:
		return fmt.Errorf("the name %.40q… in the result has %d bytes: at most %d", name, len(name), MaxResultNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("the name %q in the result is not UTF-8", name)
	default:
		return nil
	}
}

// CheckConfig says what is wrong with the size of a configuration, as canonical JSON.
func CheckConfig(config []byte) error {
	if len(config) > MaxConfigBytes {
		return fmt.Errorf("the configuration has %d bytes: at most %d", len(config), MaxConfigBytes)
	}
	return nil
}

// CheckDescribed says what is wrong with the sizes of what an experiment says of itself.
func CheckDescribed(d *experimentv1.DescribeResponse) error {
	if n := len(d.GetConfigSchema()); n > MaxConfigBytes {
		return fmt.Errorf("the schema of the configuration, with its defaults, has %d bytes: at most %d", n, MaxConfigBytes)
	}
	if n := len(d.GetResultMetrics()); n > MaxResults {
		return fmt.Errorf("the experiment has %d metrics: at most %d", n, MaxResults)
	}
	for _, metric := range d.GetResultMetrics() {
		if err := checkResultName(metric.GetName()); err != nil {
			return err
		}
	}
	if n := max(len(d.GetDevices()), len(d.GetCapabilities())); n > MaxDescribed {
		return fmt.Errorf("the experiment has a list of %d devices or capabilities: at most %d", n, MaxDescribed)
	}
	for _, text := range append([]string{d.GetVersion(), d.GetSdkVersion(), d.GetSummary()}, d.GetDevices()...) {
		if len(text) > MaxTextBytes {
			return fmt.Errorf("the text %.40q… in the experiment's description has %d bytes: at most %d", text, len(text), MaxTextBytes)
		}
	}
	return nil
}
