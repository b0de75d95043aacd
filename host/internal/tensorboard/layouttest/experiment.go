// Package layouttest makes random runs that are killed and resumed, has package tensorboard write their event files, and
// knows what each of TensorBoard's loaders makes of event files.
package layouttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// Experiment is a run of some attempts. What it must show in the end is the history of its last attempt.
type Experiment struct {
	Seed     uint64
	Attempts []Attempt
}

// Attempt is what an attempt logs until it is killed, or ends.
type Attempt struct {
	Resumed *Checkpoint // nil: from the beginning
	Points  []tensorboard.Point
	Saves   []int // numbers of points after each of which it saves
	// Kept is how much of what the last save did not make durable is left on the disk: 1 for all.
	Kept float64
}

// Checkpoint is a save: of which attempt, counted from 0, and after how many of its points.
type Checkpoint struct{ Attempt, Points int }

// History returns the points that belong to a checkpoint, nil to none.
func (e Experiment) History(c *Checkpoint) []tensorboard.Point {
	if c == nil {
		return nil
	}
	of := e.Attempts[c.Attempt]
	return slices.Concat(e.History(of.Resumed), of.Points[:c.Points])
}

// Final is the history of the whole run.
func (e Experiment) Final() []tensorboard.Point {
	last := len(e.Attempts) - 1
	return e.History(&Checkpoint{last, len(e.Attempts[last].Points)})
}

// axis is the step under which a tag is logged in a step of training, if it is.
type axis func(step int64) (int64, bool)

func always(at func(int64) int64) axis { return func(s int64) (int64, bool) { return at(s), true } }
func every(n int64, at func(int64) int64) axis {
	return func(s int64) (int64, bool) { return at(s), s%n == 0 }
}
func itself(s int64) int64 { return s }

// axes are all that an experiment may think of: an epoch's, of tokens, decreasing, constant, with repetitions, a
// sawtooth, at random.
var axes = []func(*rand.Rand) axis{
	func(*rand.Rand) axis { return always(itself) },
	func(r *rand.Rand) axis { return every(2+r.Int64N(6), itself) },
	func(r *rand.Rand) axis {
		at := []int64{1 + r.Int64N(59), 1 + r.Int64N(59)}
		return func(s int64) (int64, bool) { return s, slices.Contains(at, s) }
	},
	func(*rand.Rand) axis { return always(func(s int64) int64 { return s * 1024 }) },
	func(*rand.Rand) axis { return every(5, func(s int64) int64 { return s / 5 }) },
	func(*rand.Rand) axis { return every(5, func(s int64) int64 { return 50 - s/5 }) },
	func(*rand.Rand) axis { return always(func(s int64) int64 { return 1000 - s }) },
	func(r *rand.Rand) axis { return every(2+r.Int64N(6), func(int64) int64 { return 0 }) },
	func(*rand.Rand) axis { return always(func(s int64) int64 { return s / 3 }) },
	func(*rand.Rand) axis { return always(func(s int64) int64 { return s % 7 }) },
	func(*rand.Rand) axis { return always(func(s int64) int64 { return math.MaxInt64 - 100 + s }) },
	func(r *rand.Rand) axis {
		from := 1 + r.Int64N(39)
		return func(s int64) (int64, bool) { return s, s >= from }
	},
	func(r *rand.Rand) axis {
		seed := r.Uint64()
		return always(func(s int64) int64 { return rand.New(rand.NewPCG(seed, uint64(s))).Int64N(60) })
	},
}

// generator makes one experiment.
type generator struct {
	*rand.Rand
	axes      []axis
	steps     int64
	sameValue bool    // whatever the attempt
	nan       bool    // some values are no numbers
	save      float64 // probability at each point
	kill      float64 // the same
	older     float64 // that a resume goes past the newest checkpoint
	now       float64 // wall time

	made  Experiment
	saves []saved
}

// saved is a checkpoint with where its experiment stands.
type saved struct {
	Checkpoint
	next position
}

// position is the tag that is logged next, in a step.
type position struct {
	step int64
	tag  int
}

// Random returns the experiment of a seed, with at most so many attempts.
func Random(seed uint64, maxAttempts int) Experiment {
	r := rand.New(rand.NewPCG(seed, 0))
	g := &generator{
		Rand: r, steps: pick[int64](r, 6, 12, 40), sameValue: r.Float64() < .3, nan: r.Float64() < .3,
		save: pick(r, .02, .1, .3, .6), kill: pick(r, .02, .05, .1, .2), older: pick(r, 0, .2, .5), now: 1.7e9,
	}
	for range pick(r, 1, 1, 2, 3, 6) {
		g.axes = append(g.axes, axes[r.IntN(len(axes))](r))
	}
	g.made.Seed = seed
	for attempts := 2 + r.IntN(maxAttempts-1); len(g.made.Attempts) < attempts; {
		g.attempt(len(g.made.Attempts) == attempts-1)
	}
	return g.made
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// attempt adds the next attempt; only the last one is never killed.
func (g *generator) attempt(last bool) {
	from := g.choose()
	a := Attempt{Kept: g.Float64()}
	at := position{step: 1}
	if from != nil {
		a.Resumed, at = &Checkpoint{from.Attempt, from.Points}, from.next
		if g.Float64() < .2 {
			at.tag = 0 // what it had logged of this step comes again
		}
	}
	number := len(g.made.Attempts)
	most := pick(g.Rand, 0, 1, 3, 10, math.MaxInt)
	if number > 0 && g.Float64() < .15 {
		most = 0 // killed before it has logged anything
	}
	if last || g.Float64() < .3 {
		a.Kept = 1
	}
	for at.step <= g.steps && (last || len(a.Points) < most && g.Float64() > g.kill/float64(len(g.axes))) {
		if step, logged := g.axes[at.tag](at.step); logged {
			g.now++
			a.Points = append(a.Points, tensorboard.Point{Tag: fmt.Sprintf("t%d", at.tag), Step: step, Value: g.value(at.step, number), WallTime: g.now})
		}
		if at.tag++; at.tag == len(g.axes) {
			at = position{step: at.step + 1}
		}
		if g.Float64() < g.save/float64(len(g.axes)) {
			a.Saves = append(a.Saves, len(a.Points))
			g.saves = append(g.saves, saved{Checkpoint{number, len(a.Points)}, at})
		}
	}
	g.made.Attempts = append(g.made.Attempts, a)
	g.now += 100
}

// choose returns the checkpoint that the next attempt resumes from. Newer ones may be resumed from later: they could not
// be read for once.
func (g *generator) choose() *saved {
	i := len(g.saves) - 1
	switch {
	case g.Float64() < .1:
		i = -1
	case i > 0 && g.Float64() < g.older:
		i = g.IntN(len(g.saves))
	}
	var chosen *saved
	if i >= 0 {
		chosen = &g.saves[i]
	}
	if g.Float64() < .7 {
		g.saves = slices.Clone(g.saves[:i+1])
	}
	return chosen
}

func (g *generator) value(step int64, attempt int) float32 {
	switch {
	case g.nan && step%3 == 0:
		return []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[step/3%3]
	case g.sameValue:
		return float32(step)
	default:
		return float32(step) + float32(attempt)/16
	}
}
