package main

import (
	"fmt"
	"math"
	"os"
	"strings"
)

// speed compares the steps per second of plugins/train under mtt-host with those of the bare loop, and on pure Go the
// CPU time of the host with that of the plugin.
func (b *bench) speed(device, model string) error {
	environment, err := b.prepare(device)
	if err != nil {
		return err
	}
	steps, err := b.stepsFor(func(steps int64) (trial, error) { return b.bare(nil, environment, device, model, steps) })
	if err != nil {
		return err
	}
	programs := [2]program{
		func(started func(*os.Process)) (trial, error) {
			return b.hosted(started, forDevice("train", device), device, "-S", "model="+model, "-S", fmt.Sprintf("steps=%d", steps),
				"--checkpoint-every", b.cadence)
		},
		func(started func(*os.Process)) (trial, error) {
			return b.bare(started, environment, device, model, steps)
		},
	}
	compare := bySlots
	if device == "cuda" { // where each takes most of the memory for itself
		compare = oneByOne
	}
	var hosted, bare, hostCPU, pluginCPU []float64
	for n := range b.pairs {
		trials, rates, err := compare(n%2, programs)
		if err != nil {
			return err
		}
		// On a GPU sums come in any order, and the same training comes to other weights each time.
		if a, c := trials[0], trials[1]; device != "cuda" && (a.accuracy != c.accuracy || a.loss != c.loss) {
			return fmt.Errorf("the two programs do not train the same: loss %g and %g, accuracy %g and %g", a.loss, c.loss, a.accuracy, c.accuracy)
		}
		hosted, bare = append(hosted, rates[0]), append(bare, rates[1])
		hostCPU, pluginCPU = append(hostCPU, trials[0].cpu.own), append(pluginCPU, trials[0].cpu.children)
		b.say("steps/s, %s on %s, %d of %d: %.4g", model, device, n+1, b.pairs, rates)
	}
	ratios := each(hosted, bare, quotient)
	b.add(row{
		what:   fmt.Sprintf("train, %s on %s", strings.ToUpper(model), device),
		ours:   fmt.Sprintf("%.1f steps/s", median(hosted)),
		theirs: fmt.Sprintf("%.1f steps/s, the bare loop", median(bare)),
		figure: spread(ratios, "%.3f"),
		wanted: "at least 0.98", reached: median(ratios) >= 0.98,
	})
	if device == "go" {
		shares := each(hostCPU, pluginCPU, func(host, plugin float64) float64 { return 100 * host / plugin })
		b.add(row{
			what:   "CPU time of the host, in these runs",
			ours:   fmt.Sprintf("%.2f s", median(hostCPU)),
			theirs: fmt.Sprintf("%.2f s, the plugin", median(pluginCPU)),
			figure: spread(shares, "%.1f %%"),
			wanted: "at most 5 %", reached: median(shares) <= 5,
		})
	}
	return nil
}

// program runs one of two programs that are compared, to its end.
type program func(started func(*os.Process)) (trial, error)

// oneByOne runs one program, and then the other one. It returns the steps per second of each.
func oneByOne(first int, programs [2]program) (trials [2]trial, rates [2]float64, err error) {
	for _, i := range []int{first, 1 - first} {
		if trials[i], err = programs[i](nil); err != nil {
			return trials, rates, err
		}
		if rates[i], err = trials[i].rate(); err != nil {
			return trials, rates, err
		}
	}
	return trials, rates, nil
}

// stepsFor says how many steps of a program take as long as a measurement is to take.
func (b *bench) stepsFor(run func(steps int64) (trial, error)) (int64, error) {
	t, err := run(3 * warm)
	if err != nil {
		return 0, err
	}
	rate, err := t.rate()
	if err != nil {
		return 0, err
	}
	return warm + max(warm, int64(math.Round(rate*b.seconds/100))*100), nil
}
