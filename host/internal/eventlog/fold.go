package eventlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/mtt-project/mtt/host/internal/regular"
)

// temporarySuffix ends the name of a digest that is being written.
const temporarySuffix = ".tmp"

// entry is an event of a segment, as far as folding looks at it.
type entry struct {
	Kind Kind      `json:"kind"`
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Gone *Missing  `json:"gone"`
	size int       // of its line
	kept bool
}

// fold replaces two segments, of which older comes before newer, by a digest of both in the newer's place. They are read
// twice, so that only what is looked at of their events is in memory.
//
// Killed in mid-fold, it leaves a temporary file, or the older segment beside the digest, which has its events too: readers
// pass over what they have read, and Open removes both.
func (w *Writer) fold(older, newer segment) error {
	var entries []entry
	for _, s := range []segment{older, newer} {
		if err := scan(s.path, func(_ []byte, e entry) error { entries = append(entries, e); return nil }); err != nil {
			return err
		}
	}
	w.sizes.choose(entries)
	temporary := newer.path + temporarySuffix
	if err := w.writeDigest(temporary, []segment{older, newer}, entries); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, newer.path); err != nil {
		return err
	}
	return os.Remove(older.path)
}

// scan reads the events of a segment. The line is good until each returns.
func scan(path string, each func(line []byte, e entry) error) error {
	file, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		e := entry{size: len(lines.Bytes()) + 1}
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Seq == 0 {
			continue
		}
		if err := each(lines.Bytes(), e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// choose marks what a digest keeps.
func (s sizing) choose(entries []entry) {
	of := map[Kind][]*entry{}
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case Gone:
		case Printed, Stepped, Saved:
			of[e.Kind] = append(of[e.Kind], e)
		default:
			of[""] = append(of[""], e)
		}
	}
	keepNewest(of[Printed], s.lines)
	keepNewest(of[""], s.others)
	thinOut(of[Stepped], missingSteps(entries), s.steps)
	thinOut(of[Saved], nil, s.saves)
}

// cost is what an entry takes in a digest at most: itself, and a Gone event before it.
func (e *entry) cost() int { return e.size + 250 }

func keepNewest(entries []*entry, budget int) {
	for _, e := range slices.Backward(entries) {
		if budget -= e.cost(); budget < 0 {
			return
		}
		e.kept = true
	}
}

// missingSteps is how many reports of steps are gone already before each.
func missingSteps(entries []entry) map[*entry]uint64 {
	missing := map[*entry]uint64{}
	var n uint64
	for i := range entries {
		switch e := &entries[i]; {
		case e.Kind == Gone && e.Gone != nil:
			n += e.Gone.Steps
		case e.Kind == Stepped:
			missing[e], n = n, 0
		}
	}
	return missing
}

// thinOut keeps the newest entry, and before it at most one in so many that all fit the budget. Of those that were thinned
// out before, none goes that need not: what is missing between them counts.
func thinOut(entries []*entry, missing map[*entry]uint64, budget int) {
	for stride := uint64(1); stride < math.MaxUint32; stride *= 2 {
		size, apart := 0, stride // of the entry from the one that was kept last
		for _, e := range slices.Backward(entries) {
			if e.kept = apart >= stride; e.kept {
				size, apart = size+e.cost(), 0
			}
			apart += 1 + missing[e]
		}
		if size <= budget {
			return
		}
	}
}

// writeDigest writes the entries of the segments that are kept, and where some are not, their number.
func (w *Writer) writeDigest(path string, segments []segment, entries []entry) error {
	file, err := regular.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	d := digest{attempt: w.attempt, to: bufio.NewWriter(file)}
	if len(entries) > 0 {
		d.last = entries[0].first() - 1
	}
	for _, s := range segments {
		err = errors.Join(err, scan(s.path, func(line []byte, _ entry) error {
			e := entries[0]
			entries = entries[1:]
			return d.add(e, line)
		}))
	}
	return errors.Join(err, d.mark(), d.to.Flush(), file.Close())
}

// first is the number of the first event that an entry stands for.
func (e *entry) first() uint64 {
	if e.Gone != nil {
		return e.Gone.First
	}
	return e.Seq
}

// digest writes entries in order.
type digest struct {
	attempt int
	to      *bufio.Writer
	last    uint64    // number of the last event that was written, or counted as missing
	time    time.Time // of it
	missing *Missing
}

func (d *digest) add(e entry, line []byte) error {
	if e.Seq <= d.last {
		return nil // what a killed process had folded already
	}
	if unmarked := e.first() - 1; unmarked > d.last {
		d.miss(&Missing{Other: unmarked - d.last})
	}
	switch {
	case e.kept:
		if err := d.mark(); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(d.to, "%s\n", line); err != nil {
			return err
		}
	case e.Gone != nil:
		d.miss(e.Gone)
	default:
		gone := new(Missing)
		gone.count(e.Kind)
		d.miss(gone)
	}
	d.last, d.time = e.Seq, e.Time
	return nil
}

func (d *digest) miss(more *Missing) {
	if d.missing == nil {
		d.missing = &Missing{First: d.last + 1}
	}
	d.missing.add(more)
}

// mark writes how much is missing up to the last event.
func (d *digest) mark() error {
	if d.missing == nil {
		return nil
	}
	line, err := encode(d.missing.event(d.attempt, d.last, d.time))
	if err != nil {
		return fmt.Errorf("cannot count what is gone of the log: %w", err)
	}
	d.missing = nil
	_, err = d.to.Write(line)
	return err
}

// firstOf is the number of the first event that a segment stands for; 0 if it has none.
func firstOf(path string) uint64 {
	file, err := regular.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadBytes('\n')
	var e entry
	if json.Unmarshal(line, &e) != nil {
		return 0
	}
	return e.first()
}
