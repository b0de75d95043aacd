package main

import "time"

// version measures the shortest command, which is what every command costs before it does anything.
func (b *bench) version() error {
	const times = 50
	milliseconds := make([]float64, times)
	for i := range milliseconds {
		started := time.Now()
		if _, _, err := b.command(nil, b.binary("mtt-host"), "version"); err != nil {
			return err
		}
		milliseconds[i] = float64(time.Since(started).Microseconds()) / 1000
	}
	b.add(row{
		what:   "mtt-host version",
		figure: spread(milliseconds, "%.1f ms"),
		wanted: "at most 20 ms", reached: median(milliseconds) <= 20,
	})
	return nil
}
