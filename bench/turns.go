package main

import "slices"

// inTurn runs some programs in turn, so many times, and returns what each measured. The order is turned
// round each time, so that none gains when the machine becomes faster or slower meanwhile.
func (b *bench) inTurn(times int, what string, programs ...func() (float64, error)) ([][]float64, error) {
	measured := make([][]float64, len(programs))
	order := make([]int, len(programs))
	for i := range order {
		order[i] = i
	}
	for n := range times {
		now := make([]float64, len(programs))
		for _, i := range order {
			value, err := programs[i]()
			if err != nil {
				return nil, err
			}
			now[i] = value
			measured[i] = append(measured[i], value)
		}
		slices.Reverse(order)
		b.say("%s, %d of %d: %.4g", what, n+1, times, now)
	}
	return measured, nil
}
