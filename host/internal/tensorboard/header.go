package tensorboard

import (
	"maps"
	"math"
	"slices"
	"sort"
	"time"
)

// begin appends the first record of every file.
func (w *Writer) begin() { w.version(current) }

// hide appends what hides the garbage in both of TensorBoard's loaders, which may have read it already; and again the
// kept points that it hides as well.
//
// The Python loader purges the tags of a record whose step is below the one before, while the version is the one that
// says so: hence the other version, the largest step, and steps that strictly fall. The Rust loader always forgets what
// it has of a tag from a value's step on. What hides a tag from a step on must not hide a kept point that is followed by
// one of a smaller step, or both would be repeated in another order: see lowered.
func (w *Writer) hide(garbage tombstones, options Options) error {
	repeat := tombstones{} // with kept points that are hidden too
	for tag, from := range garbage {
		if last, ok := options.LastSteps[tag]; ok && last >= from {
			repeat[tag] = from
		}
	}
	kept, err := newHistory(w.dir, options.Kept, repeat)
	if err != nil {
		return err
	}
	if err := kept.lower(repeat); err != nil {
		return err
	}
	maps.Copy(garbage, repeat)
	w.version(purging)
	w.record(func(out []byte) []byte { return appendEmpty(out, now(), math.MaxInt64) })
	for _, tombs := range byStep(garbage) {
		w.record(func(out []byte) []byte { return appendTombstones(out, now(), tombs.step, tombs.tags) })
	}
	w.version(current)
	return kept.each(func(e event, v value) {
		if e.step >= repeat[v.tag] {
			w.record(func(out []byte) []byte { return appendValue(out, e.wallTime, e.step, v.encoded) })
		}
	})
}

func (w *Writer) version(v fileVersion) {
	w.record(func(out []byte) []byte { return appendFileVersion(out, now(), v) })
}

// tagsAt are tags that are hidden from one step on.
type tagsAt struct {
	step int64
	tags []string
}

// byStep returns the tombstones by their steps, the largest first.
func byStep(hidden tombstones) (sorted []tagsAt) {
	tags := map[int64][]string{}
	for tag, step := range hidden {
		tags[step] = append(tags[step], tag)
	}
	for _, step := range slices.Backward(slices.Sorted(maps.Keys(tags))) {
		slices.Sort(tags[step])
		sorted = append(sorted, tagsAt{step, tags[step]})
	}
	return sorted
}

// lower lowers the steps from which on tags are hidden, so that their kept points from there on are the last ones.
func (h *history) lower(from tombstones) error {
	steps := map[string][]int64{}
	if err := h.each(func(e event, v value) { steps[v.tag] = append(steps[v.tag], e.step) }); err != nil {
		return err
	}
	for tag, kept := range steps {
		from[tag] = lowered(kept, from[tag])
	}
	return nil
}

// lowered returns the largest step up to from such that no kept step below it comes behind one that is not.
func lowered(kept []int64, from int64) int64 {
	highest, lowest := slices.Clone(kept), slices.Clone(kept) // up to each step, and from each on
	for i := 1; i < len(kept); i++ {
		highest[i] = max(highest[i], highest[i-1])
	}
	for i := len(kept) - 2; i >= 0; i-- {
		lowest[i] = min(lowest[i], lowest[i+1])
	}
	for {
		first := sort.Search(len(kept), func(i int) bool { return highest[i] >= from })
		if first == len(kept) || lowest[first] >= from {
			return from
		}
		from = lowest[first]
	}
}

func now() float64 { return float64(time.Now().UnixMicro()) / 1e6 }
