package eventlog

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReaderMissesNothingPastRotations reads while a writer fills several pieces.
func TestReaderMissesNothingPastRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.jsonl")
	const events = 800 // of 64 KiB each: three rotations
	read := make(chan uint64)
	writer, err := Open(path, 1, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		line := strings.Repeat("x", 64<<10)
		for step := uint64(1); step <= events; step++ {
			writer.Write(Event{Kind: Printed, Step: step, Message: line})
			if step%100 == 0 { // the reader keeps up, as it does with any plugin that does not flood
				for <-read < step {
				}
			}
		}
		writer.Close()
	}()
	reader := NewReader(path)
	defer reader.Close()
	var last uint64
	for deadline := time.Now().Add(time.Minute); last < events; {
		if time.Now().After(deadline) {
			t.Fatalf("read %d of %d events", last, events)
		}
		got, err := reader.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range got {
			if event.Step != last+1 {
				t.Fatalf("event %d comes behind event %d", event.Step, last)
			}
			last = event.Step
		}
		select {
		case read <- last:
		default:
		}
	}
	// One that comes late has what is kept, without a gap.
	late := NewReader(path)
	defer late.Close()
	kept, err := late.Read()
	if err != nil || len(kept) < maxSize/(65<<10) {
		t.Fatalf("%d events are kept: %v", len(kept), err)
	}
	for i, event := range kept {
		if want := events - uint64(len(kept)-1-i); event.Step != want {
			t.Fatalf("event %d where %d belongs", event.Step, want)
		}
	}
	if newest, ok := Last(path, func(e Event) bool { return e.Step%600 == 0 }); !ok || newest.Step != 600 {
		t.Errorf("the last of interest is %d, want 600", newest.Step)
	}
}
