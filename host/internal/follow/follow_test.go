package follow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/config"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/follow"
	"github.com/mtt-project/mtt/host/internal/run"
)

// remote is a remote volume with one run that has one attempt.
type remote struct {
	run.Remote // what is not asked for
	t          *testing.T
	dir        string
	prints     func(ctx context.Context, each func(string))
	wake       chan struct{}

	ended chan struct{} // closed when the machine has

	mu     sync.Mutex
	live   bool
	looked int
}

func (r *remote) Refresh(context.Context, string) error { return nil }
func (r *remote) Passes(error) bool                     { return false }

func (r *remote) Live(context.Context, string) (live, supervised bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked++
	return r.live, r.live, nil
}

func (r *remote) Complete(context.Context, *run.Run, *run.Info, []run.Attempt) error { return nil }

func (r *remote) Prints(run.Attempt) func(context.Context, func(string)) { return r.prints }

func (r *remote) Wake(context.Context, string) <-chan struct{} { return r.wake }

// end has the run no longer executed, of which its watchers are told.
func (r *remote) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live {
		close(r.ended)
	}
	r.live = false
	r.tell()
}

func (r *remote) tell() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// newRemote returns a volume with an active run whose attempt has logged these events.
func newRemote(t *testing.T, logged []eventlog.Event) (*remote, *run.Run) {
	t.Helper()
	r := &remote{t: t, dir: t.TempDir(), live: true, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	r.write("runs/r/run.json", run.Spec{Schema: "mtt.spec/v1", RunID: "r", Config: []byte("{}"), ConfigSHA256: config.Hash([]byte("{}")), Options: run.DefaultOptions()})
	r.write("runs/r/attempts/1/claim.json", run.Claim{Schema: "mtt.claim/v1", Attempt: 1})
	r.log(logged)
	found, err := run.OpenRemote(t.Context(), "v", r.dir, r).Get("r")
	if err != nil {
		t.Fatal(err)
	}
	return r, found
}

func (r *remote) write(path string, value any) {
	r.t.Helper()
	raw, err := json.Marshal(value)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(filepath.Join(r.dir, path)), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, path), raw, 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// log replaces the log of the attempt.
func (r *remote) log(events []eventlog.Event) {
	r.t.Helper()
	path := filepath.Join(r.dir, "runs", "r", "log", "1.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(lines(events)), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func lines(events []eventlog.Event) string {
	var text strings.Builder
	for _, event := range events {
		raw, _ := json.Marshal(event)
		text.Write(append(raw, '\n'))
	}
	return text.String()
}

// numbered returns the events from one number to another.
func numbered(first, last uint64) (events []eventlog.Event) {
	for n := first; n <= last; n++ {
		events = append(events, eventlog.Event{Schema: eventlog.Schema, Attempt: 1, Seq: n, Kind: eventlog.Printed, Message: fmt.Sprint("event ", n)})
	}
	return events
}

// print has the machine print this, and end with the run.
func (r *remote) print(texts ...string) {
	r.prints = func(ctx context.Context, each func(string)) {
		for _, text := range texts {
			each(text)
		}
		select {
		case <-ctx.Done():
		case <-r.ended:
		}
	}
}

// TestMachineThatAWorkerLeftBeforeItBeganIsFollowedByTheNext has the first machine end at once.
func TestMachineThatAWorkerLeftBeforeItBeganIsFollowedByTheNext(t *testing.T) {
	r, followed := newRemote(t, nil)
	r.print(lines(numbered(1, 3)))
	next, first := r.prints, true
	r.prints = func(ctx context.Context, each func(string)) {
		if first {
			first = false
			r.tell()
			return
		}
		next(ctx, each)
	}
	if events := collect(t, r, followed, 3); len(events) < 3 || events[0].Seq != 1 {
		t.Errorf("handed out are %v", events)
	}
}

// collect follows the run, ends it once the event with number last has come, and returns what was handed out.
func collect(t *testing.T, r *remote, followed *run.Run, last uint64) (events []eventlog.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.write("runs/r/attempts/1/end.json", run.End{Schema: "mtt.end/v1", State: run.Stopped})
	for event, err := range follow.New(ctx, followed, follow.Notices{}).Events(ctx, follow.All, true) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
		if event.Seq == last {
			r.end()
		}
	}
	if ctx.Err() != nil {
		t.Fatalf("after %d events nothing comes", len(events))
	}
	return events
}

// complete wants events without a gap, those that are missing counted, and returns how many are missing.
func complete(t *testing.T, events []eventlog.Event, last uint64) (missing uint64) {
	t.Helper()
	var seen uint64
	for _, event := range events {
		if event.Seq == 0 { // how the attempt ended
			continue
		}
		if event.First() != seen+1 {
			t.Fatalf("event %d follows on %d", event.First(), seen)
		}
		if event.Gone != nil {
			missing += event.Seq - seen
		}
		seen = event.Seq
	}
	if seen != last {
		t.Fatalf("the last event is %d, want %d", seen, last)
	}
	return missing
}

func TestWhatIsLoggedAndWhatIsPrintedAreOne(t *testing.T) {
	t.Parallel()
	r, followed := newRemote(t, numbered(1, 60))
	r.print(lines(numbered(1, 40)), "no event\n", lines(numbered(41, 100)))
	if missing := complete(t, collect(t, r, followed, 100), 100); missing != 0 {
		t.Errorf("%d events are missing", missing)
	}
}

// A machine that prints faster than is read prints not all.
func TestWhatWasNotPrintedIsTakenFromTheLog(t *testing.T) {
	t.Parallel()
	r, followed := newRemote(t, numbered(1, 10))
	r.prints = func(ctx context.Context, each func(string)) {
		each(lines(numbered(1, 20)) + lines(numbered(31, 40)))
		r.log(numbered(1, 35)) // as a sync brings it
		r.tell()
		<-r.ended
	}
	if missing := complete(t, collect(t, r, followed, 40), 40); missing != 0 {
		t.Errorf("%d events are missing", missing)
	}
}

func TestWhatIsNowhereIsSkippedAndCounted(t *testing.T) {
	t.Parallel()
	r, followed := newRemote(t, numbered(1, 10))
	r.prints = func(ctx context.Context, each func(string)) {
		each(lines(numbered(1, 20)) + lines(numbered(31, 40)))
		r.end()
	}
	if missing := complete(t, collect(t, r, followed, 0), 40); missing != 10 {
		t.Errorf("%d events are missing, want 10", missing)
	}
}

// What comes without end is neither kept in memory nor waited for, whatever is missing of it.
func TestFloodIsFollowedWithoutWaiting(t *testing.T) {
	t.Parallel()
	r, followed := newRemote(t, numbered(1, 10))
	const events, each = 40_000, 1000
	r.prints = func(ctx context.Context, print func(string)) {
		for first := uint64(1); first < events; first += each {
			print(lines(numbered(first, first+each-2))) // and not the last one
		}
		print(lines(numbered(events, events)))
		r.end()
	}
	if missing := complete(t, collect(t, r, followed, 0), events); missing != events/each-1 {
		t.Errorf("%d events are missing", missing)
	}
}

func TestWatcherLooksMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	r, followed := newRemote(t, nil)
	r.print()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	for range follow.New(ctx, followed, follow.Notices{}).Events(ctx, follow.All, true) {
	}
	if r.looked > 8 { // twice for each look
		t.Errorf("it was looked %d times in 6 s", r.looked)
	}
}
