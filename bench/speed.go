package main

import (
	"fmt"
	"math"
	"strings"
)

// speed compares the steps per second of plugins/train under mtt-host with those of the bare loop, and on pure Go the
// CPU time of the host with that of the plugin.
func (b *bench) speed(device, model string) error {
	environment, err := b.prepare(device)
	if err != nil {
		return err
	}
	steps, err := b.stepsFor(func(steps int64) (trial, error) { return b.bare(environment, device, model, steps) })
	if err != nil {
		return err
	}
	var last [2]trial
	var hostCPU, pluginCPU []float64
	rate := func(i int, run func() (trial, error)) func() (float64, error) {
		return func() (float64, error) {
			var err error
			if last[i], err = run(); err != nil {
				return 0, err
			}
			return last[i].rate()
		}
	}
	measured, err := b.inTurn(fmt.Sprintf("steps/s, %s on %s", model, device),
		rate(0, func() (trial, error) {
			t, err := b.hosted(forDevice("train", device), device, "-S", "model="+model, "-S", fmt.Sprintf("steps=%d", steps),
				"--checkpoint-every", checkpointEvery)
			hostCPU, pluginCPU = append(hostCPU, t.cpu.own), append(pluginCPU, t.cpu.children)
			return t, err
		}),
		rate(1, func() (trial, error) { return b.bare(environment, device, model, steps) }))
	if err != nil {
		return err
	}
	hosted, bare := measured[0], measured[1]
	// On a GPU sums come in any order, and the same training comes to other weights each time.
	if device != "cuda" && (last[0].accuracy != last[1].accuracy || last[0].loss != last[1].loss) {
		return fmt.Errorf("the two programs do not train the same: %g and %g, accuracies %g and %g",
			last[0].loss, last[1].loss, last[0].accuracy, last[1].accuracy)
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

// checkpointEvery makes checkpoints fall into a measurement of some seconds; by default one is made every 30 s.
const checkpointEvery = "1s"

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
