package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// The names by which the requests for blocks, which are no calls, are throttled, limited and counted.
const (
	BlockGet = "BlockGet"
	BlockPut = "BlockPut"
)

// Throttling is the answer to a call that comes too often, or that Modal has no room for now.
type Throttling struct {
	Code      codes.Code
	Text      string
	HasPolicy bool          // the answer says when to come again
	After     time.Duration // when
}

// Throttle says whether a call is throttled before it is carried out; nil if it is not.
func (d *Dice) Throttle(call string) *Throttling {
	if !d.isThrottled(call) && !d.exceedsLimit(call) {
		return nil
	}
	return d.throttling(call)
}

// ThrottleStream says whether the stream of a call is throttled behind one of its messages; nil if it is not.
func (d *Dice) ThrottleStream(call string) *Throttling {
	if !d.Now().ThrottleCalls.has(call) || !d.throw(func(s *Settings) float64 { return s.ThrottleStreams }) {
		return nil
	}
	return d.throttling(call)
}

func (d *Dice) isThrottled(call string) bool {
	if !d.Now().ThrottleCalls.has(call) {
		return false
	}
	return d.inBurst() || d.take(func(s *Settings) *int { return &s.ThrottleNext }) || d.throw(func(s *Settings) float64 { return s.ThrottleRate })
}

// inBurst says whether throttle-for is not over yet.
func (d *Dice) inBurst() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.burstSet) < d.settings.ThrottleFor
}

func (d *Dice) exceedsLimit(call string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, limit := range d.settings.ThrottleLimits {
		if name != AllCalls && name != call {
			continue
		}
		if d.buckets[name] == nil {
			d.buckets[name] = newBucket(limit)
		}
		if !d.buckets[name].take(time.Now()) {
			return true
		}
	}
	return false
}

// Billing says whether a call is refused because the workspace has spent what it may; nil if it is not.
func (d *Dice) Billing(call string) *Throttling {
	if !slices.Contains(d.Now().BillingLimit, call) {
		return nil
	}
	return d.refusal(inWords(call) + " failed: workspace billing cycle spend limit reached")
}

func (d *Dice) throttling(call string) *Throttling {
	return d.refusal(strings.TrimSuffix(inWords(call), "2") + " rate limit exceeded. Please wait and retry.")
}

// refusal is one with a text, and with a policy or without.
func (d *Dice) refusal(text string) *Throttling {
	hasPolicy := d.throw(func(s *Settings) float64 { return s.ThrottlePolicy })
	now := d.Now()
	t := &Throttling{Code: codes.ResourceExhausted, Text: text, HasPolicy: hasPolicy, After: now.ThrottleAfter}
	if hasPolicy { // without one, another code would be another failure
		t.Code = codes.Code(now.ThrottleCode)
	}
	return t
}

// inWords names a call as Modal's texts do, as far as they are public.
func inWords(call string) string {
	switch call {
	case "SandboxCreate":
		return "Sandbox creation"
	case "AppGetOrCreate":
		return "App creation"
	default:
		return call
	}
}

// AllCalls stands for an account's calls together among the limits.
const AllCalls = "*"

// Calls are names of calls, separated by commas.
type Calls []string

func (c *Calls) String() string { return strings.Join(*c, ",") }
func (c *Calls) Set(s string) error {
	*c = nil
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name != "" {
			*c = append(*c, name)
		}
	}
	return nil
}

// has says whether a call is meant: where none is named, all are.
func (c Calls) has(call string) bool { return len(c) == 0 || slices.Contains(c, call) }

// Limit is how often a call may come: PerSecond in the long run, and Burst at once.
type Limit struct{ PerSecond, Burst float64 }

// Limits are those of calls, by their names, as CALL:RATE/BURST separated by commas, with * for all of them together.
type Limits map[string]Limit

func (l *Limits) String() string {
	var all []string
	for name, limit := range *l {
		all = append(all, fmt.Sprintf("%s:%g/%g", name, limit.PerSecond, limit.Burst))
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

func (l *Limits) Set(s string) error {
	limits := Limits{}
	for item := range strings.SplitSeq(s, ",") {
		if item == "" {
			continue
		}
		name, figures, _ := strings.Cut(item, ":")
		rate, burst, _ := strings.Cut(figures, "/")
		perSecond, err := strconv.ParseFloat(rate, 64)
		most, errBurst := strconv.ParseFloat(burst, 64)
		if err != nil || errBurst != nil || name == "" || perSecond < 0 || most < 1 {
			return fmt.Errorf("%q is not CALL:RATE/BURST, such as SandboxCreate:5/150", item)
		}
		limits[name] = Limit{perSecond, most}
	}
	*l = limits
	return nil
}

// bucket holds the calls that may come at once.
type bucket struct {
	limit Limit
	left  float64
	at    time.Time
}

func newBucket(limit Limit) *bucket { return &bucket{limit: limit, left: limit.Burst} }

// take takes a call out of the bucket, if one is left.
func (b *bucket) take(now time.Time) bool {
	if !b.at.IsZero() {
		b.left = min(b.limit.Burst, b.left+b.limit.PerSecond*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
