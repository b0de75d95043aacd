package eventlog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// small are sizes at which a few thousand events fill many segments.
var small = sizing{segment: 16 << 10, lines: 8 << 10, steps: 8 << 10, saves: 4 << 10, others: 4 << 10}

// bound is what a log takes at most, given that no event of a test is longer than a tenth of a segment.
func (s sizing) bound() int {
	return 4*s.segment + s.lines + s.steps + s.saves + s.others + s.segment/10
}

func write(t *testing.T, path string, s sizing) *Writer {
	t.Helper()
	w, err := Open(path, 1, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	w.sizes = s
	t.Cleanup(w.Close)
	return w
}

// stream reads on, and wants every number once, as an event or as one that is gone.
type stream struct {
	*testing.T
	*Reader
	seen   uint64
	events []Event
	gone   Missing
}

func read(t *testing.T, path string) *stream {
	t.Helper()
	s := &stream{T: t, Reader: NewReader(path)}
	t.Cleanup(s.Close)
	s.on()
	return s
}

func (s *stream) on() {
	s.Helper()
	for {
		event, ok, err := s.Next()
		if err != nil {
			s.Fatal(err)
		}
		if !ok {
			return
		}
		first := event.Seq
		if event.Kind == Gone {
			first = event.Gone.First
			if n := event.Gone.Lines + event.Gone.Steps + event.Gone.Other; n != event.Seq-first+1 {
				s.Fatalf("event %d counts %d, from %d", event.Seq, n, first)
			}
			if !strings.HasSuffix(event.Message, " gone") {
				s.Errorf("%d says %q", event.Seq, event.Message)
			}
			s.gone.add(event.Gone)
		} else {
			s.events = append(s.events, event)
		}
		if first != s.seen+1 {
			s.Fatalf("event %d follows on %d", first, s.seen)
		}
		s.seen = event.Seq
	}
}

func (s *stream) wantAll(last uint64) {
	s.Helper()
	if s.seen != last {
		s.Errorf("read up to event %d of %d", s.seen, last)
	}
}

func sizeOf(t *testing.T, path string) (size int) {
	t.Helper()
	segments, err := segmentsOf(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		info, err := os.Stat(s.path)
		if err != nil {
			t.Fatal(err)
		}
		size += int(info.Size())
	}
	return size
}

func TestReaderThatKeepsUpMissesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, small)
	reader := read(t, path)
	for range 100 {
		for range 40 { // less than is left as it was written
			w.Say(Printed, "%s", strings.Repeat("x", 200))
		}
		reader.on()
	}
	reader.wantAll(4000)
	if n := reader.gone; n != (Missing{}) {
		t.Errorf("%s", n.String())
	}
}

func TestEveryReaderOfALogSeesEveryNumberOnce(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 0))
		path := filepath.Join(t.TempDir(), "1.jsonl")
		w := write(t, path, small)
		var readers []*stream
		logged := map[Kind]uint64{}
		kinds := []Kind{Stepped, Printed, Saved, Warning}
		weights := []float64{random.Float64(), random.Float64(), random.Float64() / 20, random.Float64() / 50}
		for i := range 3000 {
			kind := pick(random, kinds, weights)
			logged[kind]++
			w.Write(Event{Kind: kind, Step: uint64(i), Message: strings.Repeat("x", random.IntN(300))})
			if random.IntN(400) == 0 {
				readers = append(readers, read(t, path))
			}
			if len(readers) > 0 && random.IntN(50) == 0 {
				readers[random.IntN(len(readers))].on()
			}
			if i%100 == 0 && sizeOf(t, path) > small.bound() {
				t.Fatalf("the log has %d bytes, which is more than %d", sizeOf(t, path), small.bound())
			}
		}
		for _, reader := range append(readers, read(t, path)) {
			reader.on()
			reader.wantAll(3000)
		}
		late := read(t, path)
		for _, e := range late.events {
			logged[e.Kind]--
		}
		if late.gone.Lines != logged[Printed] || late.gone.Steps != logged[Stepped] || late.gone.Other != logged[Saved]+logged[Warning] {
			t.Errorf("seed %d: %s, and these were logged and not read: %v", seed, late.gone.String(), logged)
		}
	}
}

func pick(random *rand.Rand, kinds []Kind, weights []float64) Kind {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	at := random.Float64() * sum
	for i, w := range weights {
		if at -= w; at < 0 {
			return kinds[i]
		}
	}
	return kinds[0]
}

// TestThreeDaysOfStepsLeaveTheBeginningAndWhatMatters is 72 hours of a report a second with 50 tags, at a scale of one to
// sixteen: sizes are a sixteenth, and a report comes each sixteen seconds.
func TestThreeDaysOfStepsLeaveTheBeginningAndWhatMatters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	s := sizing{segment: sizes.segment / 16, lines: sizes.lines / 16, steps: sizes.steps / 16, saves: sizes.saves / 16, others: sizes.others / 16}
	w := write(t, path, s)
	metrics := checkpoint.Metrics{}
	for i := range 50 {
		metrics[fmt.Sprintf("validation/loss/%d", i)] = 0.123456789
	}
	w.Say(Started, "attempt 1")
	w.Say(Printed, "the data set has 60,000 images")
	const seconds = 72 * 3600
	for i := uint64(16); i <= seconds; i += 16 {
		w.Write(Event{Kind: Stepped, Step: i, Metrics: metrics})
		switch {
		case i%3600 == 0:
			w.Say(Warning, "hour %d", i/3600)
		case i%3600 == 1600:
			w.Say(Printed, "epoch %d", i/3600)
		case i%400 == 0:
			w.Write(Event{Kind: Saved, Step: i, Checkpoint: "some-0000001-01J00000000000000000000000", Reason: "periodic", SizeBytes: 1 << 20})
		}
	}
	if size := sizeOf(t, path); size > s.bound() {
		t.Errorf("the log has %d bytes, which is more than %d", size, s.bound())
	}
	reader := read(t, path)
	of := map[Kind][]Event{}
	for _, e := range reader.events {
		of[e.Kind] = append(of[e.Kind], e)
	}
	if len(of[Started]) != 1 || len(of[Warning]) != 72 || len(of[Printed]) != 73 || of[Printed][0].Message != "the data set has 60,000 images" {
		t.Errorf("kept are %d of 1 starts, %d of 72 warnings, %d of 73 lines", len(of[Started]), len(of[Warning]), len(of[Printed]))
	}
	if reader.gone.Lines != 0 || uint64(len(of[Stepped]))+reader.gone.Steps != seconds/16 {
		t.Errorf("%d steps are kept, and %s", len(of[Stepped]), reader.gone.String())
	}
	longest := uint64(0)
	for i := 1; i < len(of[Stepped]); i++ {
		longest = max(longest, of[Stepped][i].Step-of[Stepped][i-1].Step)
	}
	if longest > 16*5*60 {
		t.Errorf("for %d s no step is kept", longest/16)
	}
	if newest, ok := Last(path, func(e Event) bool { return e.Kind == Stepped }); !ok || newest.Step != seconds {
		t.Errorf("the newest step is %d, want %d", newest.Step, seconds)
	}
}

// TestPluginThatPrintsWithoutEndLeavesItsFirstAndLastLines, and what the host said in between.
func TestPluginThatPrintsWithoutEndLeavesItsFirstAndLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, small)
	const lines = 20_000
	for i := range lines {
		w.Say(Printed, "line %d", i+1)
		if i%5000 == 2500 {
			w.Say(Warning, "at line %d", i+1)
			w.Write(Event{Kind: Saved, Step: uint64(i)})
		}
	}
	reader := read(t, path)
	var printed []string
	others := 0
	for _, e := range reader.events {
		if e.Kind == Printed {
			printed = append(printed, e.Message)
		} else {
			others++
		}
	}
	if printed[0] != "line 1" || printed[len(printed)-1] != fmt.Sprintf("line %d", lines) || others != 8 {
		t.Errorf("the lines go from %q to %q, with %d other events", printed[0], printed[len(printed)-1], others)
	}
	if reader.gone.Lines+uint64(len(printed)) != lines || reader.gone.Other != 0 {
		t.Errorf("%d lines are kept, and %s", len(printed), reader.gone.String())
	}
}

func TestFloodOfTheHostsOwnEventsIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, small)
	for i := range 20_000 {
		w.Say([]Kind{Warning, Saved}[i%2], "event %d", i)
	}
	if size := sizeOf(t, path); size > small.bound() {
		t.Errorf("the log has %d bytes, which is more than %d", size, small.bound())
	}
	read(t, path).wantAll(20_000)
}

// shortWriter writes half of one line, and then nothing, until it is mended.
type shortWriter struct {
	io.WriteCloser
	full, halved bool
}

var errFull = errors.New("no space left on device")

func (s *shortWriter) Write(p []byte) (int, error) {
	if !s.full {
		return s.WriteCloser.Write(p)
	}
	if s.halved {
		return 0, errFull
	}
	s.halved = true
	n, _ := s.WriteCloser.Write(p[:len(p)/2])
	return n, errFull
}

func TestEventBehindATornLineIsReadAndTheTornOneCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, small)
	disk := &shortWriter{WriteCloser: w.file}
	w.file = disk
	w.Say(Started, "one")
	disk.full = true
	w.Say(Printed, "two")
	w.Say(Warning, "three")
	disk.full = false
	w.Say(Saved, "four")
	reader := read(t, path)
	reader.wantAll(4)
	if len(reader.events) != 2 || reader.events[1].Message != "four" || reader.gone.Lines != 1 || reader.gone.Other != 1 {
		t.Errorf("read %v, and %s", reader.events, reader.gone.String())
	}
}

func TestLogOfAKilledProcessIsContinuedOnALineOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	write(t, path, small).Say(Started, "one")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = file.WriteString(`{"schema":"mtt.event/v1","seq":2,"ki`)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, small).Say(Retrying, "two")
	reader := read(t, path)
	reader.wantAll(2)
	if len(reader.events) != 2 {
		t.Errorf("read %v", reader.events)
	}
}

// What a host that was killed in mid-fold has left.
func TestSegmentThatADigestHasIsReadOnceAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, small)
	older, digest := pathOf(path, 2), pathOf(path, 3)
	var content []byte
	for {
		w.Say(Printed, "%s", strings.Repeat("x", 200))
		now, err := os.ReadFile(older)
		if errors.Is(err, os.ErrNotExist) && content != nil {
			break
		}
		content = now
	}
	err := os.WriteFile(older, content, 0o600)
	err = errors.Join(err, os.WriteFile(digest+temporarySuffix, []byte("half"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	read(t, path).wantAll(w.seq)
	write(t, path, small)
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != maxSegments {
		t.Errorf("%d files are left, want %d: %v", len(entries), maxSegments, entries)
	}
	read(t, path).wantAll(w.seq)
}

func TestLogThatAnOlderHostRotatedIsReadFromWhatIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	for name, events := range map[string]string{
		path + ".1": `{"schema":"mtt.event/v1","attempt":1,"seq":41,"kind":"plugin","message":"a"}` + "\n",
		path:        `{"schema":"mtt.event/v1","attempt":1,"seq":42,"kind":"plugin","message":"b"}` + "\n",
	} {
		if err := os.WriteFile(name, []byte(events), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, small).Say(Retrying, "c")
	reader := read(t, path)
	reader.wantAll(43)
	if reader.gone.Other != 40 || len(reader.events) != 3 {
		t.Errorf("read %v, and %s", reader.events, reader.gone.String())
	}
}

// A log that is suspended holds what matters, and bounds the rest.
func TestFloodWhileTheLogIsSuspendedIsCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, small)
	w.Say(Started, "one")
	w.Suspend()
	for range 1000 {
		w.Say(Printed, "%s", strings.Repeat("x", 100))
	}
	w.Say(Warning, "kept")
	if len(w.waiting) > 2*small.segment {
		t.Errorf("%d bytes wait in memory", len(w.waiting))
	}
	if err := w.Resume(); err != nil {
		t.Fatal(err)
	}
	reader := read(t, path)
	reader.wantAll(1002)
	if reader.gone.Lines == 0 || !slices.ContainsFunc(reader.events, func(e Event) bool { return e.Message == "kept" }) {
		t.Errorf("the warning is lost; %s", reader.gone.String())
	}
}

// A line without end costs no memory.
func TestLineThatIsNoEventIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, path, sizes)
	w.Say(Started, "one")
	for _, garbage := range []string{"\n", "{}\n", "null\n", "\x00\xff\n", strings.Repeat("x", maxLine+1) + "\n"} {
		if err := w.put([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
	}
	w.Say(Ended, "two")
	reader := read(t, path)
	reader.wantAll(2)
	if cap(reader.partial) > 64<<10 {
		t.Errorf("the reader holds %d bytes", cap(reader.partial))
	}
}

// A reader that a mirror feeds sees files appear, grow and be replaced.
func TestReaderFollowsSegmentsThatAreCopied(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "1.jsonl"), filepath.Join(t.TempDir(), "1.jsonl")
	w := write(t, from, small)
	reader := read(t, to)
	for range 60 {
		for range 30 {
			w.Say(Printed, "%s", strings.Repeat("x", 200))
		}
		mirror(t, from, to)
		reader.on()
	}
	reader.wantAll(1800)
	if n := reader.gone; n != (Missing{}) {
		t.Errorf("%s", n.String())
	}
}

func mirror(t *testing.T, from, to string) {
	t.Helper()
	segments, err := segmentsOf(from)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, s := range segments {
		content, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(filepath.Dir(to), filepath.Base(s.path))
		has[name] = true
		if old, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(content), string(old)) {
			if err := os.WriteFile(name, content, 0o600); err != nil { // in its place, as it has only grown
				t.Fatal(err)
			}
			continue
		}
		if err := errors.Join(os.WriteFile(name+".new", content, 0o600), os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
	}
	old, err := segmentsOf(to)
	for _, s := range old {
		if !has[s.path] {
			err = errors.Join(err, os.Remove(s.path))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestMissingIsSaidInWords(t *testing.T) {
	for want, missing := range map[string]Missing{
		"1 line of the plugin is gone":                                    {Lines: 1},
		"12,345 lines of the plugin are gone":                             {Lines: 12_345},
		"1,000,000 lines of the plugin and 1 report of a step are gone":   {Lines: 1_000_000, Steps: 1},
		"2 lines of the plugin, 3 reports of steps and 4 events are gone": {Lines: 2, Steps: 3, Other: 4},
	} {
		if got := missing.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
