package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Turn waits, on behalf of one call, for Modal to let it through. It is not counted how often.
type Turn struct {
	client *Client
	met    int // limits that did not say how long
	last   LimitKind
	waited time.Duration
}

// NewTurn returns the turn of a call that is about to be made.
func (c *Client) NewTurn() *Turn { return &Turn{client: c} }

// Wait waits until the call may be made again that has met a limit. exit.Unavailable: the client's patience is at an end.
func (t *Turn) Wait(ctx context.Context, limit *Limit) error {
	pause := limit.Pause(t.met)
	if limit.after == 0 {
		t.met++
	}
	if most := t.client.options.Patience; most > 0 && t.waited+pause > most {
		return limit.gaveUp()
	}
	t.waited, t.last = t.waited+pause, limit.Kind
	defer t.client.notices.waits(limit, pause)()
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Done says what has come of the call.
func (t *Turn) Done(err error) {
	if t.waited > 0 && (err == nil || RefusalOf(err) != nil) {
		t.client.notices.goesOn(t.last)
	}
}

// gaveUp is the error of a call that is not waited for any longer.
func (l *Limit) gaveUp() error {
	hint := "Repeat the command later: it goes on."
	if l.Kind == Billing {
		hint = "Raise the limit at https://modal.com/settings/usage, and repeat the command: it goes on."
	}
	return exit.Errorf(exit.Unavailable, "%w", l).Hint("%s", hint)
}

// LimitOfResponse returns the limit that a request for a block has met; nil for none. A 503 is one only if it says when to
// come again.
func LimitOfResponse(response *http.Response) *Limit {
	after := response.Header.Get("Retry-After")
	switch {
	case response.StatusCode == http.StatusTooManyRequests:
	case response.StatusCode == http.StatusServiceUnavailable && after != "":
	default:
		return nil
	}
	return &Limit{Kind: Throttled, Call: "blocks", Text: response.Status, after: retryAfter(after, time.Now())}
}

// retryAfter reads a Retry-After header (RFC 9110, 10.2.3): seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		return secondsTold(seconds)
	}
	if date, err := http.ParseTime(header); err == nil {
		return secondsTold(max(0, date.Sub(now).Seconds()))
	}
	return 0
}
