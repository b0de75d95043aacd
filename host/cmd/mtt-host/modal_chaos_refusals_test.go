package main_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake"
)

// throttled draws how calls are throttled: a share of all of them, told when to come again or not.
func throttled(c *chaos, share float64) []string {
	return []string{
		fmt.Sprintf("throttle-rate=%.3f", share), "throttle-policy=" + pick(c, "0", "0.5", "1"), "throttle-after=" + pick(c, "50ms", "300ms", "1s"),
		"throttle-code=" + pick(c, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "FAILED_PRECONDITION"), "throttle-streams=" + pick(c, "0", "0.02"),
	}
}

// set changes settings of the fake while it runs.
func (c *chaos) set(settings ...string) {
	c.Helper()
	var o modalfake.Order
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		o.Set = append(o.Set, modalfake.Assignment{Name: name, Value: value})
	}
	c.tell("set %q", settings)
	if err := c.order(o); err != nil {
		c.Fatal(err)
	}
}

// soak says that runs are to meet more, and for longer.
var soak = os.Getenv("MTT_SOAK") != ""

// burst has every call throttled for a while, in which the run needs another machine.
func (c *chaos) burst() {
	c.Helper()
	length := 2 * time.Second
	if soak {
		length = 30 * time.Second
	}
	c.set("throttle-for=" + length.String())
	c.Bursts++
	c.preemptWorker()
}

// billing has the workspace's money be spent for a while, in which the run needs another machine.
func (c *chaos) billing() {
	c.Helper()
	if !soak || c.random.IntN(2) == 0 { // else it is asked every minute whether the limit holds still
		c.set("throttle-policy=1", "throttle-after=300ms")
	}
	c.set("billing-limit=" + pick(c, "SandboxCreate", "SandboxCreate,AppGetOrCreate"))
	c.preemptWorker()
	time.Sleep(time.Duration(c.random.Int64N(int64(3 * time.Second))))
	c.set("billing-limit=", c.drawn("throttle-policy"), c.drawn("throttle-after"))
}

// drawn is a setting as the fake was started with it.
func (c *chaos) drawn(name string) string {
	c.Helper()
	for _, setting := range slices.Backward(c.settings) {
		if strings.HasPrefix(setting, name+"=") {
			return setting
		}
	}
	c.Fatalf("%s was not drawn", name)
	return ""
}

var memoryStatuses = []string{"MEMORY_MANAGER_EVICTION", "MEMORY_THRASHING_EVICTION", "KERNEL_OOM_KILL"}

// endForMemory ends the worker for its memory.
func (c *chaos) endForMemory() {
	c.Helper()
	if worker := c.worker(); worker != nil {
		c.takeFor(*worker, pick(c, memoryStatuses...))
		c.MemoryEnds++
	}
}

// mend has the fake refuse nothing any more.
func (c *chaos) mend() {
	c.Helper()
	c.set("error-rate=0", "drop-streams=0", "expire-blocks=0", "throttle-rate=0", "throttle-for=0s", "throttle-next=0", "throttle-streams=0",
		"throttle-limits=", "billing-limit=", "unplaced-rate=0", "unplaced=0", "end-builds=0", "disk-full=0")
}

// countRefusals counts what the fake has refused, and the Sandboxes that never had a machine.
func (c *chaos) countRefusals(sandboxes []sandbox) {
	c.Helper()
	for _, calls := range c.fake.Calls(c.T) {
		c.Throttled += calls.Throttled
		c.Bills += calls.Billed
	}
	for _, s := range sandboxes {
		if s.Started.IsZero() {
			c.Unplaced++
		}
	}
}

// saysFull finds what says that something is full.
var saysFull = regexp.MustCompile(`(?i)\bfull\b|no space left|make room|quota|volume rm`)

// nothingIsSaidToBeFull looks through what was said of the run.
func (c *chaos) nothingIsSaidToBeFull(sandboxes []sandbox) {
	c.Helper()
	printed := c.printed()
	said := []string{c.run("logs", c.id, "-n", "-1").stdout, c.run("show", c.id).stdout}
	said = append(said, c.said...)
	for _, s := range sandboxes {
		said = append(said, printed[s.ID])
	}
	for line := range strings.Lines(strings.Join(said, "\n")) {
		if saysFull.MatchString(line) && !slices.ContainsFunc(c.settings, func(s string) bool { return strings.HasPrefix(s, "disk-full=") }) {
			c.Errorf("nothing is full, and this is said: %s", line)
		}
	}
}
