// Command faulty is an experiment that misbehaves, in the one way that the variable FAULTY names. The host's tests run
// it to see that a bad plugin breaks only itself.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// A fault is a way to misbehave; do does not return where the fault is one of the process.
type fault struct {
	name, what string
	do         func()
}

var faults = []fault{
	// Before the handshake.
	{"print-first", "prints to stdout before the handshake", func() { fmt.Println("loading the model"); serveExperiment() }},
	{"exit-at-once", "exits with code 3 and a word on stderr", func() { fmt.Fprintln(os.Stderr, "no licence found"); os.Exit(3) }},
	{"never-answers", "never shakes hands", func() { time.Sleep(time.Hour) }},
	{"other-protocol", "speaks version 99 of the protocol", func() { serveWire(99, wireFault{}) }},
	{"killed-at-start", "is killed before the handshake, in an attempt and not for Describe", killedAtStart},
	// Describe.
	{"describe-hangs", "never answers Describe", func() { serveWire(1, wireFault{describe: hang}) }},
	{"describe-exits", "ends in Describe", func() { serveWire(1, wireFault{describe: func() { os.Exit(4) }}) }},
	{"describe-killed", "is killed in Describe", func() { serveWire(1, wireFault{describe: killSelf}) }},
	{"describe-nonsense", "describes itself with an empty name and no schema", func() { serveWire(1, wireFault{nonsense: true}) }},
	{"schema", "describes itself with the configuration schema that the variable SCHEMA has", func() {
		serveWire(1, wireFault{described: func(d *experimentv1.DescribeResponse) { d.ConfigSchema = []byte(os.Getenv("SCHEMA")) }})
	}},
	// Train, on the wire.
	{"refuses-config", "does not take the configuration", func() { serveWire(1, wireFault{train: refuseConfig}) }},
	{"no-outcome", "answers Train without an outcome", func() { serveWire(1, wireFault{}) }},
	{"no-final", "finishes without a final checkpoint", func() { serveWire(1, wireFault{train: finishWithoutFinal}) }},
	{"metric-gap", "leaves out numbers of metric points", func() { serveWire(1, wireFault{train: leaveGap}) }},
	{"metric-negative", "logs a metric at step -1, and goes on whatever the host says", func() { serveWire(1, wireFault{train: logNegativeStep}) }},
	{"progress-negative", "reports step -1, and goes on whatever the host says", func() { serveWire(1, wireFault{train: reportNegativeStep}) }},
	{"save-without-commit", "ends a save without a commit", func() { serveWire(1, wireFault{train: saveWithoutCommit}) }},
	{"save-wrong-sum", "sends a blob with a wrong checksum", func() { serveWire(1, wireFault{train: saveWrongSum}) }},
	{"save-reserved-name", "saves a blob under the name of the host's own file", func() { serveWire(1, wireFault{train: saveReservedName}) }},
	// A child in a session of its own that keeps the plugin's sockets, while the plugin exits.
	{"stray-at-start", "the child keeps stdout, and the plugin exits before the handshake", func() { leaveStray() }},
	{"stray-in-describe", "it exits in Describe", func() { serveWire(1, wireFault{describe: func() { leaveStray(sockets) }}) }},
	{"stray-in-train", "it exits in Train", func() { serveWire(1, wireFault{trainOn: leaveStrayInTrain}) }},
	{"stray-in-metrics", "it exits while it logs metrics", func() { serveWire(1, wireFault{trainOn: leaveStrayInMetrics}) }},
	{"stray-in-save", "it exits in the middle of a save", func() { serveWire(1, wireFault{trainOn: leaveStrayInSave}) }},
	{"stray-in-load", "the first attempt saves and is killed, the second exits while it loads", func() { serveWire(1, wireFault{trainOn: leaveStrayInLoad}) }},
	// Streams that never end.
	{"save-nothing", "opens a save and sends nothing", func() { serveWire(1, wireFault{trainOn: hangInSave(nil, nil)}) }},
	{"save-header", "sends a header and nothing else", func() { serveWire(1, wireFault{trainOn: hangInSave(manual, nil)}) }},
	{"save-half", "sends half a blob", func() { serveWire(1, wireFault{trainOn: hangInSave(manual, sendHalfBlob)}) }},
	{"save-ahead", "saves behind metrics that it has not logged", func() { serveWire(1, wireFault{trainOn: hangInSave(ahead, nil)}) }},
	{"load-half", "the first attempt saves and is killed, the second does not read what it loads", func() { serveWire(1, wireFault{trainOn: hangInLoad}) }},
	{"never-leaves", "finishes with a save that it never closes, and does not leave when it is told to", func() { serveWire(1, wireFault{trainOn: finish, server: deafServer}) }},
	// Sizes that the wire does not allow.
	{"describe-long-summary", "has a summary of 10,000 bytes", describesTooMuch(longSummary)},
	{"describe-huge", "describes itself in 6 MiB", describesTooMuch(longDescription)},
	{"describe-large-schema", "has a schema of 2 MiB", describesTooMuch(largeSchema)},
	{"describe-many-metrics", "has 2,000 metrics in its result", describesTooMuch(manyResultMetrics)},
	{"describe-many-devices", "was built for 1,000 devices", describesTooMuch(manyDevices)},
	{"return-many-results", "returns a result of 2,000 names", tooMuch(returnManyResults)},
	{"save-many-results", "saves a result of 2,000 names", tooMuch(saveManyResults)},
	{"fail-large", "fails with a message and a stack of 1 MiB each", tooMuch(fail(1<<20, 1<<20))},
	{"fail-huge", "fails with a message of 100 MB", tooMuch(fail(100_000_000, 0))},
	{"fail-status", "answers Train with a status of 1 MiB", tooMuch(failWithStatus)},
	{"log-long-tag", "logs a tag of 513 bytes", tooMuch(logPoints(1, 513, 1))},
	{"log-control-tags", "logs 10,000 tags of 512 bytes, most of them control characters", tooMuch(logControlTags)},
	{"log-last-step", "logs a point at the last step of 63 bits", tooMuch(logLastStep)},
	{"log-many-tags", "logs 12,000 tags", tooMuch(logPoints(12_000, 5, 4096))},
	{"log-many-points", "logs 5,000 points in a batch", tooMuch(logPoints(5000, 5, 5000))},
	{"log-huge", "logs a batch of 6 MB", tooMuch(logPoints(3000, 2000, 3000))},
	{"save-large-chunk", "saves a chunk of 2 MiB", tooMuch(saveChunk(2 << 20))},
	{"save-huge-chunk", "saves a chunk of 6 MiB", tooMuch(saveChunk(6 << 20))},
	{"save-many-blobs", "saves 1,025 blobs", tooMuch(saveManyBlobs)},
	{"save-long-name", "saves a blob with a name of 129 bytes", tooMuch(saveLongName)},
	// The same through the SDK.
	{"result-many", "Train returns a result of 200,000 names", serveExperiment},
	{"error-huge", "Train returns an error of 100 MB", serveExperiment},
	{"panic-huge", "Train panics with 10 MB", serveExperiment},
	{"tags", "Train logs 12,000 tags", serveExperiment},
	{"control-tags", "Train logs 10,000 tags of 512 bytes, most of them control characters", serveExperiment},
	{"prints-long-lines", "prints a line of 200,000 bytes, and one of 40,000 that are not UTF-8", serveExperiment},
	{"prints-without-end", "prints without the end of a line", serveExperiment},
	{"bar", "for 5 s draws a progress bar, and does nothing else", serveExperiment},
	{"dots", "for 5 s prints dots on one line, and does nothing else", serveExperiment},
	{"many-lines", "prints 40,000 lines of 1,000 bytes", serveExperiment},
	// Train, through the SDK.
	{"empty-tag", "logs a metric with an empty tag", serveExperiment},
	{"negative-step", "logs a metric at step -1", serveExperiment},
	{"negative-progress", "reports step -1", serveExperiment},
	{"only-metrics", "logs metrics for ever, one of them with an empty tag, and asks for nothing", serveExperiment},
	{"never-saves", "calls Resume, and neither ShouldSave nor Save", serveExperiment},
	{"error", "Train returns an error", serveExperiment},
	{"panic", "Train panics", serveExperiment},
	{"panic-elsewhere", "a goroutine that Train has started panics", serveExperiment},
	{"exit", "calls log.Fatal in Train", serveExperiment},
	{"killed", "kills itself with SIGKILL in Train, after a checkpoint", serveExperiment},
	{"killed-once", "the same, in the first attempt only", serveExperiment},
	{"error-twice", "fails the first two attempts, each after a newer checkpoint", serveExperiment},
	{"ignores-stop", "does not look at Stopped", serveExperiment},
	{"fails-at-stop", "returns an error when it is asked to stop", serveExperiment},
	{"ignores-cancel", "does not return from Train whatever happens, and has a child process", serveExperiment},
	{"ignores-resume", "never calls Resume", serveExperiment},
	{"daemon", "has a child that left its process group and holds its stderr, and finishes", serveExperiment},
	{"environment", "writes its environment to environment.txt in output_dir", serveExperiment},
	{"slow", "for 5 s each prints and does nothing else, and saves, and finishes", serveExperiment},
	{"data", "copies list.txt of the data called numbers to output_dir", serveExperiment},
	{"floods", "logs metrics and prints as fast as it can", serveExperiment},
	{"none", "does nothing wrong", serveExperiment},
}

func main() {
	name := os.Getenv("FAULTY")
	i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
	if i < 0 {
		var known strings.Builder
		for _, f := range faults {
			fmt.Fprintf(&known, "  %-20s %s\n", f.name, f.what)
		}
		fmt.Fprintf(os.Stderr, "set FAULTY to one of\n%s", known.String())
		os.Exit(2)
	}
	faults[i].do()
}

func hang() { time.Sleep(time.Hour) }

func killSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }

func killedAtStart() {
	if os.Getenv(wire.EnvLockFD) != "" {
		killSelf()
	}
	serveExperiment()
}
