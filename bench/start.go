package main

import "fmt"

// start compares the time from the start of the process to the end of the first step, in pure Go: of `mtt-host run`
// with a plugin that it has run before, and of the bare loop.
func (b *bench) start() error {
	environment, err := b.prepare("go")
	if err != nil {
		return err
	}
	measured, err := b.inTurn(3*b.pairs, "s to the first step",
		func() (float64, error) {
			t, err := b.hosted(nil, "train", "go", "-S", "steps=1")
			if err != nil {
				return 0, err
			}
			return t.untilFirst()
		},
		func() (float64, error) {
			t, err := b.bare(nil, environment, "go", "mlp", 1)
			if err != nil {
				return 0, err
			}
			return t.untilFirst()
		})
	if err != nil {
		return err
	}
	hosted, bare := measured[0], measured[1]
	more := each(hosted, bare, func(a, b float64) float64 { return 1000 * difference(a, b) })
	b.add(row{
		what:   "from the command to the first step, MLP on go",
		ours:   fmt.Sprintf("%.0f ms", 1000*median(hosted)),
		theirs: fmt.Sprintf("%.0f ms, the bare loop", 1000*median(bare)),
		figure: spread(more, "%.0f ms") + " more",
		wanted: "at most 100 ms", reached: median(more) <= 100,
	})
	return nil
}
