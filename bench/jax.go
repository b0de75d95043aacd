package main

import (
	"fmt"
)

// jax compares the time of a step of the synthetic workloads with that of the same in JAX.
func (b *bench) jax(device string) error {
	if _, err := b.prepare(device); err != nil {
		return err
	}
	for _, workload := range []string{"cnn-8", "cnn-32", "mlp-4096"} {
		hosted := func(steps int64) (trial, error) {
			return b.hosted(nil, "synthetic", device, "-S", "workload="+workload, "-S", fmt.Sprintf("steps=%d", steps))
		}
		steps, err := b.stepsFor(hosted)
		if err != nil {
			return err
		}
		measured, err := b.inTurn(b.pairs, fmt.Sprintf("ms a step, %s on %s, and JAX with and without reading", workload, device),
			func() (float64, error) { return milliseconds(hosted(steps)) },
			func() (float64, error) { return milliseconds(b.steps(device, workload, steps, "--read")) },
			func() (float64, error) { return milliseconds(b.steps(device, workload, steps)) })
		if err != nil {
			return err
		}
		for i, against := range []struct{ words, wanted string }{
			{"JAX that reads each loss", "more than 1"},
			{"JAX that reads none", ""},
		} {
			ours, theirs := measured[0], measured[1+i]
			ratios := each(theirs, ours, quotient)
			b.add(row{
				what:   fmt.Sprintf("synthetic, %s on %s", workload, device),
				ours:   fmt.Sprintf("%.3f ms a step", median(ours)),
				theirs: fmt.Sprintf("%.3f ms a step, %s", median(theirs), against.words),
				figure: spread(ratios, "%.2f"),
				wanted: against.wanted, reached: median(ratios) > 1,
			})
		}
	}
	return nil
}

// steps runs a workload in JAX.
func (b *bench) steps(device, workload string, steps int64, args ...string) (trial, error) {
	t, printed, err := b.python("steps.py", append([]string{
		"--device", device, "--workload", workload, "--steps", fmt.Sprint(steps)}, args...)...)
	if err != nil {
		return t, err
	}
	err = t.decode(printed)
	b.machine.jax = t.jax
	return t, err
}

// milliseconds is the time of a step.
func milliseconds(t trial, err error) (float64, error) {
	if err != nil {
		return 0, err
	}
	rate, err := t.rate()
	return 1000 / rate, err
}
