package main_test

import "testing"

// promise is one thing that mtt promises, and what shows that it holds. Promises of one kind are one table.
type promise struct {
	name string // what is promised
	hold func(*bench)
}

// hold shows each promise on a bench of its own, several at a time.
func hold(t *testing.T, promises []promise) {
	t.Helper()
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.hold(newBench(t))
		})
	}
}
