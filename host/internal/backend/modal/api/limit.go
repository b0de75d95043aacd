package api

import (
	"errors"
	"math"
	"math/rand/v2"
	"regexp"
	"time"

	"google.golang.org/grpc/codes"
)

// Limit is the error of a call that Modal does not carry out now and may carry out later: nothing is wrong with the call,
// the credentials or the volume.
type Limit struct {
	Kind LimitKind
	Call string
	Text string // in Modal's words
	// after is how long Modal has said to wait; 0: it has not, or nothing that can be meant.
	after time.Duration
}

// LimitKind is what a Limit is of.
type LimitKind int

const (
	// Throttled: the account makes more calls than it may.
	Throttled LimitKind = iota
	// Billing: the workspace has spent what it may.
	Billing
	// NoMachine: Modal has none of the kind now, or the account may have no more of them.
	NoMachine
)

func (l *Limit) Error() string {
	switch l.Kind {
	case Billing:
		return "billing limit: " + l.Text
	case NoMachine:
		return "Modal has no machine for it now: " + l.Text
	default:
		return "Modal limits how often " + l.Call + " may be asked for: " + l.Text
	}
}

// Words of Modal's by which its refusals with RESOURCE_EXHAUSTED differ: there is no other sign of it.
var (
	billingWords = regexp.MustCompile(`(?i)\b(billing|spend(ing)? limit|budget|payment|out of credits?)\b`)
	rateWords    = regexp.MustCompile(`(?i)\b(rate|throttl\w*|too many requests|too (fast|often)|slow down|retry|try again later)\b`)
)

// limitOf tells a limit from a refusal that stays; nil for one that stays. What says when to come again is a limit, whatever
// its code. Everything else with RESOURCE_EXHAUSTED is one too: no volume of version 2 has a size of its own, and only a
// Sandbox needs a machine.
func limitOf(call string, refused *Refusal) *Limit {
	limit := &Limit{Kind: Throttled, Call: call, Text: refused.Text, after: refused.after}
	switch {
	case !refused.hasPolicy && refused.code != codes.ResourceExhausted:
		return nil
	case billingWords.MatchString(refused.Text):
		limit.Kind = Billing
	case call == sandboxCreate && !refused.hasPolicy && !rateWords.MatchString(refused.Text):
		limit.Kind = NoMachine
	}
	return limit
}

const (
	// billingPause is how long after a billing limit Modal is asked again: a person has to raise it.
	billingPause = time.Minute
	// toldMost bounds what Modal can have a call wait. It is asked again then: what it says may be far from what it means,
	// and one call a minute burdens nobody.
	toldMost = time.Minute
	// Pauses where it does not say.
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	// leastTold is the least pause of those that are told: a call must not become a busy loop.
	leastTold = 50 * time.Millisecond
)

// Pause returns how long to wait before the call is made again that has met so many limits before which did not say.
func (l *Limit) Pause(met int) time.Duration {
	if l.after > 0 {
		return max(leastTold, l.after) + rand.N(leastTold)
	}
	if l.Kind == Billing {
		return billingPause
	}
	pause := min(firstPause<<min(met, 10), lastPause)
	return pause/2 + rand.N(pause) // so that those that came at once do not come at once again
}

// secondsTold reads a number of seconds that a server names.
func secondsTold(seconds float64) time.Duration {
	if math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, toldMost.Seconds()) * float64(time.Second))
}

// LimitOf returns the limit that a call has met; nil for another error.
func LimitOf(err error) *Limit {
	limit, _ := errors.AsType[*Limit](err)
	return limit
}
