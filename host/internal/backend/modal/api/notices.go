package api

import (
	"sync"
	"time"
)

const (
	// sayFrom is how long calls may have waited, all in all, before the user is told: less is the ordinary way of a busy
	// account.
	sayFrom = 2 * time.Second
	// quietFor is how long no call must have met a limit for the next one to be news again. A supervisor runs for a day, in
	// which an account is busy more than once.
	quietFor = 10 * time.Minute
)

// Notices tell the user what calls wait for, once for all clients that share them. Many short waits count as a long one.
//
// That an account makes too many calls is said once in a busy period: it comes and goes from one call to the next. The other
// limits hold until they are lifted, so their end is said too. It may be used from several goroutines; nil says nothing.
type Notices struct {
	say func(text string)
	now func() time.Time

	mu      sync.Mutex
	told    map[LimitKind]bool
	waiting int           // calls that wait now
	since   time.Time     // when the first of them began
	waited  time.Duration // in this busy period, before since; waits at the same time count once
	last    time.Time     // when the last wait ended
}

// NewNotices returns notices that are told to say; nil: to nobody.
func NewNotices(say func(text string)) *Notices {
	if say == nil {
		return nil
	}
	return &Notices{say: say, now: time.Now, told: map[LimitKind]bool{}}
}

// waits is called before a call waits; the caller calls done afterwards.
func (n *Notices) waits(limit *Limit, pause time.Duration) (done func()) {
	if n == nil {
		return func() {}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if n.waiting == 0 {
		if now.Sub(n.last) > quietFor {
			n.waited = 0
			delete(n.told, Throttled)
		}
		n.since = now
	}
	n.waiting++
	if n.waited+now.Sub(n.since)+pause >= sayFrom && !n.told[limit.Kind] {
		n.told[limit.Kind] = true
		n.say(limit.Error() + "; waiting, and asking again")
	}
	return n.done
}

func (n *Notices) done() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = n.now()
	if n.waiting--; n.waiting == 0 {
		n.waited += n.last.Sub(n.since)
	}
}

// goesOn is called when a call has come through that waited.
func (n *Notices) goesOn(after LimitKind) {
	if n == nil || after == Throttled {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told[after] {
		delete(n.told, after)
		n.say("Modal lets calls through again")
	}
}
