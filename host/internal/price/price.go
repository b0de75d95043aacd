// Package price bounds what a run on Modal costs, from above: what it reserves, in dollars per second.
//
// Modal has no API for prices, so they are configuration: a TOML file, which MTT_PRICES names and which is otherwise
// $XDG_CONFIG_HOME/mtt/prices.toml, over dated defaults (defaults.go). All are in dollars per second:
//
//	cpu_core   = 0.00003942 # a physical core
//	memory_gib = 0.00000672
//
//	[gpu]
//	"H100" = 0.001097 # one of them
//
// The bound holds for what is reserved. Modal bills what is used, where that is more, so a Sandbox has to be limited to
// what it reserves; and what a region or a contract adds or takes away is for the file to say.
package price

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Rate returns the most that a second costs in which one of the GPUs, such as "H100" or "H100:2", is reserved, none if
// there are none, with so many physical cores and so much memory. An error is exit.Usage: a price that is not known is
// not guessed.
func Rate(gpus []string, cores, memoryGiB float64) (dollarsPerSecond float64, err error) {
	prices, err := load()
	if err != nil {
		return 0, err
	}
	var dearest float64
	for _, gpu := range gpus {
		dollars, err := prices.gpus(gpu)
		if err != nil {
			return 0, err
		}
		dearest = max(dearest, dollars)
	}
	return dearest + cores*prices.cpuCore + memoryGiB*prices.memoryGiB, nil
}

// gpus is the price of a request for GPUs.
func (t *table) gpus(request string) (float64, error) {
	kind, number, counted := strings.Cut(request, ":")
	count := 1
	if counted {
		var err error
		if count, err = strconv.Atoi(number); err != nil || count < 1 {
			return 0, exit.Errorf(exit.Usage, "%q names no GPU: want a kind such as H100, or H100:2 for two", request)
		}
	}
	dollars, ok := t.gpu[canonical(kind)]
	if !ok {
		return 0, exit.Errorf(exit.Usage, "the price of a GPU %q is not known, so its cost cannot be limited", kind).
			Hint("See https://modal.com/pricing, and put it into %s, in dollars per second:\n[gpu]\n%q = PRICE", t.file, kind)
	}
	return float64(count) * dollars, nil
}

// Limit is how long something that costs so much per second may run for maxCost dollars; without end if it costs nothing.
func Limit(maxCost, dollarsPerSecond float64) time.Duration {
	nanoseconds := maxCost / dollarsPerSecond * float64(time.Second)
	if !(nanoseconds < math.MaxInt64) { // 0/0 is no number
		return math.MaxInt64
	}
	return time.Duration(nanoseconds)
}
