package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Dice decide when the fake misbehaves. Their seed makes one client's run repeatable; with several at once, the order
// in which they come decides too.
type Dice struct {
	mu       sync.Mutex
	settings Settings
	gpusSet  time.Time
	burstSet time.Time          // when throttle-for was
	buckets  map[string]*bucket // of throttle-limits
	random   *rand.Rand
	changed  chan struct{} // closed at the next change
}

// New returns dice with the default settings.
func New(seed uint64) *Dice {
	return &Dice{settings: defaults(), buckets: make(map[string]*bucket), random: rand.New(rand.NewPCG(seed, seed)), changed: make(chan struct{})}
}

// Set changes the setting of that name.
func (d *Dice) Set(name, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	settings := d.settings
	if settings.flags().Lookup(name) == nil {
		return fmt.Errorf("there is no setting %q", name)
	}
	if err := settings.flags().Set(name, value); err != nil {
		return fmt.Errorf("%s=%s: %w", name, value, err)
	}
	d.settings = settings
	switch name {
	case "gpus", "gpus-for":
		d.gpusSet = time.Now()
	case "throttle-for":
		d.burstSet = time.Now()
	case "throttle-limits":
		clear(d.buckets)
	}
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

// Setting is one switch, for people.
type Setting struct{ Name, Value, Kind, Usage string }

// List returns all settings as they are now.
func (d *Dice) List() (list []Setting) {
	settings := d.Now()
	settings.flags().VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		list = append(list, Setting{Name: f.Name, Value: f.Value.String(), Kind: kind, Usage: usage})
	})
	return list
}

// Now returns the settings.
func (d *Dice) Now() Settings {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings
}

// Changed returns a channel that is closed when a setting changes.
func (d *Dice) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *Dice) throw(share func(*Settings) float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := share(&d.settings)
	return s > 0 && d.random.Float64() < s
}

// Drop says whether a stream breaks here; the error is with what.
func (d *Dice) Drop() error {
	if d.throw(func(s *Settings) float64 { return s.DropStreams }) {
		return d.failure("the stream broke")
	}
	return nil
}

// Repeat says whether a message comes again.
func (d *Dice) Repeat() bool { return d.throw(func(s *Settings) float64 { return s.RepeatStreams }) }

// Tear says whether the files that a preempted Sandbox did not commit are committed in part.
func (d *Dice) Tear() bool { return d.throw(func(s *Settings) float64 { return s.TornCommits }) }

// Half says yes half of the time.
func (d *Dice) Half() bool { return d.throw(func(*Settings) float64 { return 0.5 }) }

// Fail returns the error with which a call fails before it is carried out, and the one with which it does afterwards.
func (d *Dice) Fail() (before, after error) {
	if !d.throw(func(s *Settings) float64 { return s.ErrorRate }) {
		return nil, nil
	}
	if d.Half() {
		return d.failure("the call was not carried out"), nil
	}
	return nil, d.failure("the answer was lost")
}

func (d *Dice) failure(what string) error {
	return status.Error(codes.Code(d.Now().ErrorCode), "modal-fake: "+what)
}

// LoseCreate says whether the answer to this creation is lost.
func (d *Dice) LoseCreate() bool { return d.take(func(s *Settings) *int { return &s.LoseCreates }) }

// ExpireBlock says whether this request for a block finds its address expired.
func (d *Dice) ExpireBlock() bool { return d.take(func(s *Settings) *int { return &s.ExpireBlocks }) }

// Unplaced says whether this Sandbox ends without ever having had a machine.
func (d *Dice) Unplaced() bool {
	return d.take(func(s *Settings) *int { return &s.Unplaced }) || d.throw(func(s *Settings) float64 { return s.UnplacedRate })
}

// DiskFull says whether this Sandbox starts on a machine whose disk is full.
func (d *Dice) DiskFull() bool { return d.take(func(s *Settings) *int { return &s.DiskFull }) }

// EndBuild says whether this build of an image ends without an image, through no fault of its own.
func (d *Dice) EndBuild() bool { return d.take(func(s *Settings) *int { return &s.EndBuilds }) }

// take uses up one of a number of events.
func (d *Dice) take(count func(*Settings) *int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := count(&d.settings)
	if *left <= 0 {
		return false
	}
	*left--
	return true
}

// GPUs says what happens to a Sandbox with a GPU of a type now.
func (d *Dice) GPUs(kind string) GPUs {
	d.mu.Lock()
	defer d.mu.Unlock()
	if of := d.settings.GPUsOf; of != "" && of != kind {
		return GPUsThere
	}
	if d.settings.GPUsFor > 0 && time.Since(d.gpusSet) > d.settings.GPUsFor {
		return GPUsThere
	}
	return d.settings.GPUs
}

// PreemptWithin says whether a Sandbox is preempted within the next span.
func (d *Dice) PreemptWithin(span time.Duration) bool {
	return d.throw(func(s *Settings) float64 {
		if s.PreemptMean <= 0 {
			return 0
		}
		return float64(span) / float64(s.PreemptMean)
	})
}
