package layouttest

import (
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Point is one point of a curve, with the bits of its values.
type Point struct {
	Step        int64
	Value, Wall uint64
}

// Curves are the points of each tag that has one.
type Curves map[string][]Point

// Model shows what one of TensorBoard's loaders makes of the event files of a run, read one after the other.
type Model func(files []File) Curves

// event is an Event as the loaders look at it.
type event struct {
	version    string
	start      bool // of a session
	hasSummary bool
	step       int64
	wall       uint64
	values     []value
}

type value struct {
	tag  string
	bits uint64
	real bool // a point, and no tombstone
}

// Rust is the data server, which loads by default: each value evicts those of its tag that are not below its step.
func Rust(files []File) Curves {
	shown := Curves{}
	all := map[string][]Point{} // tombstones included, as values without bits
	tombs := map[string][]bool{}
	for _, e := range events(files) {
		for _, v := range e.values {
			for n := len(all[v.tag]); n > 0 && all[v.tag][n-1].Step >= e.step; n-- {
				all[v.tag], tombs[v.tag] = all[v.tag][:n-1], tombs[v.tag][:n-1]
			}
			all[v.tag] = append(all[v.tag], Point{e.step, v.bits, e.wall})
			tombs[v.tag] = append(tombs[v.tag], !v.real)
		}
	}
	for tag, points := range all {
		for i, p := range points {
			if !tombs[tag][i] {
				shown[tag] = append(shown[tag], p)
			}
		}
	}
	return shown
}

// Python is the loader of --load_fast=false. With version 2 of the files, the start of a session purges all tags, except
// for the first start of a run; before that version, a step that is below the one before purges the tags that come
// with it.
func Python(files []File) Curves {
	shown := Curves{}
	purge := func(tag string, from int64) {
		shown[tag] = slices.DeleteFunc(shown[tag], func(p Point) bool { return p.Step >= from })
		if len(shown[tag]) == 0 {
			delete(shown, tag)
		}
	}
	version, last, started := "", int64(-1), false
	for _, e := range events(files) {
		if e.version != "" {
			version = e.version
		}
		switch {
		case version == "brain.Event:2" && e.start && started:
			for tag := range shown {
				purge(tag, e.step)
			}
		case version != "brain.Event:2" && e.step < last:
			for _, v := range e.values {
				purge(v.tag, e.step)
			}
		}
		started = started || e.start
		if e.hasSummary {
			last = e.step
		}
		for _, v := range e.values {
			if v.real {
				shown[v.tag] = append(shown[v.tag], Point{e.step, v.bits, e.wall})
			}
		}
	}
	return shown
}

// events reads the whole records of each file.
func events(files []File) (all []event) {
	for _, f := range files {
		for rest := f.Content; len(rest) >= 12; {
			size := binary.LittleEndian.Uint64(rest)
			if uint64(len(rest)) < 16+size {
				break
			}
			all = append(all, decode(rest[12:12+size]))
			rest = rest[16+size:]
		}
	}
	return all
}

// decode reads an Event. It panics at what is none.
func decode(data []byte) (e event) {
	fields(data, func(number protowire.Number, content []byte, bits uint64) {
		switch number {
		case 1:
			e.wall = bits
		case 2:
			e.step = int64(bits)
		case 3:
			e.version = string(content)
		case 5:
			e.hasSummary = true
			fields(content, func(_ protowire.Number, content []byte, _ uint64) { e.values = append(e.values, decodeValue(content)) })
		case 7:
			e.start = true
		}
	})
	return e
}

func decodeValue(data []byte) (v value) {
	fields(data, func(number protowire.Number, content []byte, bits uint64) {
		switch number {
		case 1:
			v.tag = string(content)
		case 2:
			v.bits, v.real = bits, true
		}
	})
	return v
}

func fields(data []byte, fn func(number protowire.Number, content []byte, bits uint64)) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		data = data[max(n, 0):]
		var content []byte
		var bits uint64
		switch kind {
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(data)
		case protowire.Fixed32Type:
			var short uint32
			short, n = protowire.ConsumeFixed32(data)
			bits = uint64(short)
		}
		if n < 0 {
			panic("not an Event")
		}
		data = data[n:]
		fn(number, content, bits)
	}
}

// Float is the value of a point.
func (p Point) Float() float32 { return math.Float32frombits(uint32(p.Value)) }

// WallTime is in seconds since 1970.
func (p Point) WallTime() float64 { return math.Float64frombits(p.Wall) }
