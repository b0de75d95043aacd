package run

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultOptions are those of a run that sets none.
func DefaultOptions() Options {
	return Options{
		Device:       "auto",
		Cadence:      Cadence{Interval: 30 * time.Second},
		Keep:         3,
		StartTimeout: Duration(30 * time.Second),
		StopGrace:    Duration(30 * time.Second),
		// Compiling a large model takes minutes in which nothing is logged.
		Stall: Duration(15 * time.Minute),
	}
}

// Duration is a time.Duration that is text in JSON, such as "30s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the form that time.ParseDuration reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Cadence says how often a checkpoint is made: every so many steps, or at the first step after so much time. Exactly
// one of the two is set.
type Cadence struct {
	Steps    uint64
	Interval time.Duration
}

// ParseCadence reads "500" as steps and "30s" as time.
func ParseCadence(text string) (Cadence, error) {
	if steps, err := strconv.ParseUint(text, 10, 63); err == nil && steps > 0 {
		return Cadence{Steps: steps}, nil
	}
	interval, err := time.ParseDuration(text)
	if err != nil || interval <= 0 || strings.HasPrefix(text, "+") {
		return Cadence{}, fmt.Errorf("%q is no cadence: want a number of steps such as 500, or a time such as 30s", text)
	}
	return Cadence{Interval: interval}, nil
}

func (c Cadence) String() string {
	if c.Steps > 0 {
		return strconv.FormatUint(c.Steps, 10)
	}
	return c.Interval.String()
}

// MarshalJSON writes what ParseCadence reads.
func (c Cadence) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// UnmarshalJSON reads what ParseCadence reads.
func (c *Cadence) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	parsed, err := ParseCadence(text)
	*c = parsed
	return err
}
