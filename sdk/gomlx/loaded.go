package gomlx

import (
	"hash/maphash"
	"math"
)

// loaded is what is known of a checkpoint's variables, by name. A nil one is that of a run without a checkpoint.
type loaded struct {
	variables map[string]loadedVariable
	partial   bool // saved as mtt-gomlx/1, without the learning rate, the trainer's last step and the metrics
}

type loadedVariable struct {
	variableInfo
	rank   int    // place in the order in which the variables were made
	digest uint64 // of its bytes
}

// digestSeed makes digests that are compared within this process only.
var digestSeed = maphash.MakeSeed()

func digestOf(data []byte) uint64 { return maphash.Bytes(digestSeed, data) }

func (l *loaded) has(name string) bool {
	if l == nil {
		return false
	}
	_, ok := l.variables[name]
	return ok
}

// rank is the same for all variables that the checkpoint does not have, and behind those that it has.
func (l *loaded) rank(name string) int {
	if !l.has(name) {
		return math.MaxInt
	}
	return l.variables[name].rank
}

func (l *loaded) forget(name string) {
	if l != nil {
		delete(l.variables, name)
	}
}
