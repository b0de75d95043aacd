package gomlx

import (
	"math/bits"
	"math/rand/v2"
)

// Order is the order in which training sees its examples: a new permutation each epoch, as a function of the seed and
// the epoch alone, so that any step's batch can be told without the ones before.
//
// Epoch e of seed s is the Fisher–Yates shuffle (Durstenfeld's: i from Size-1 down to 1, swapped with j, uniform in
// 0…i) of 0…Size-1 with the generator PCG(s, e) of math/rand/v2, whose streams Go keeps for good; j is drawn by
// Lemire's multiplication of 64 random bits, without rejection, whose bias is below Size/2^64.
// Examples that do not fill a batch at the end of an epoch are left out of it.
type Order struct {
	Seed  int64
	Size  int // number of examples
	Batch int // examples in a batch, 1 to Size

	epoch       int64
	permutation []int // of epoch; nil at first
}

// StepsPerEpoch is the number of whole batches in an epoch.
func (o *Order) StepsPerEpoch() int64 { return int64(o.Size / o.Batch) }

// EpochEnds says whether step, counted from 1, is the last of its epoch.
func (o *Order) EpochEnds(step int64) bool { return step%o.StepsPerEpoch() == 0 }

// At returns the examples of the batch of step, counted from 1, as indices. The slice is valid until the next call.
func (o *Order) At(step int64) []int {
	epoch, batch := (step-1)/o.StepsPerEpoch(), (step-1)%o.StepsPerEpoch()
	if o.permutation == nil || o.epoch != epoch {
		o.shuffle(epoch)
	}
	first := int(batch) * o.Batch
	return o.permutation[first : first+o.Batch]
}

func (o *Order) shuffle(epoch int64) {
	random := rand.NewPCG(uint64(o.Seed), uint64(epoch))
	o.permutation = make([]int, o.Size)
	for i := range o.permutation {
		o.permutation[i] = i
	}
	for i := o.Size - 1; i > 0; i-- {
		j, _ := bits.Mul64(random.Uint64(), uint64(i+1))
		o.permutation[i], o.permutation[j] = o.permutation[j], o.permutation[i]
	}
	o.epoch = epoch
}
