package tensorboard

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Point is one value of one curve.
type Point struct {
	Tag      string
	Step     int64
	Value    float32
	WallTime float64 // seconds since the Unix epoch
}

// Field numbers of event.proto and summary.proto.
const (
	eventWallTime    = 1 // double
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5
	eventSessionLog  = 7
	summaryValue     = 1
	valueTag         = 1 // string
	valueSimple      = 2 // float
	valueObsolete    = 3 // bytes: a histogram of a form that no reader shows any more
	sessionStatus    = 1 // enum
	sessionStart     = 1 // SessionLog.START
)

// fileVersion is the number in a record such as brain.Event:2.
type fileVersion int

const (
	// purging has TensorBoard's Python loader take a step below the one before for a restart: it forgets the points
	// from that step on of the tags in that record.
	purging fileVersion = 1
	// current is the version of every file: steps may come in any order.
	current fileVersion = 2
)

func appendFileVersion(out []byte, wallTime float64, version fileVersion) []byte {
	out = appendHead(out, wallTime, 0)
	out = protowire.AppendTag(out, eventFileVersion, protowire.BytesType)
	return protowire.AppendString(out, fmt.Sprintf("brain.Event:%d", version))
}

// appendScalar encodes an Event with one value.
func appendScalar(out []byte, p Point) []byte {
	value := 1 + protowire.SizeBytes(len(p.Tag)) + 1 + 4
	out = appendHead(out, p.WallTime, p.Step)
	out = appendValueHead(out, value, p.Tag)
	out = protowire.AppendTag(out, valueSimple, protowire.Fixed32Type)
	return protowire.AppendFixed32(out, math.Float32bits(p.Value))
}

// appendEmpty encodes an Event with a summary of no value.
func appendEmpty(out []byte, wallTime float64, step int64) []byte {
	out = appendHead(out, wallTime, step)
	out = protowire.AppendTag(out, eventSummary, protowire.BytesType)
	return protowire.AppendVarint(out, 0)
}

// appendTombstones encodes an Event with a value for each tag that no reader shows, and for which both of TensorBoard's
// loaders forget what they have of the tag from that step on.
func appendTombstones(out []byte, wallTime float64, step int64, tags []string) []byte {
	var summary []byte
	for _, tag := range tags {
		value := protowire.AppendTag(nil, valueTag, protowire.BytesType)
		value = protowire.AppendString(value, tag)
		value = protowire.AppendTag(value, valueObsolete, protowire.BytesType)
		value = protowire.AppendBytes(value, nil)
		summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
		summary = protowire.AppendBytes(summary, value)
	}
	out = appendHead(out, wallTime, step)
	out = protowire.AppendTag(out, eventSummary, protowire.BytesType)
	return protowire.AppendBytes(out, summary)
}

// appendValue encodes an Event with one value that was read from another file.
func appendValue(out []byte, wallTime float64, step int64, encoded []byte) []byte {
	out = appendHead(out, wallTime, step)
	out = protowire.AppendTag(out, eventSummary, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(1+protowire.SizeBytes(len(encoded))))
	out = protowire.AppendTag(out, summaryValue, protowire.BytesType)
	return protowire.AppendBytes(out, encoded)
}

func appendHead(out []byte, wallTime float64, step int64) []byte {
	out = protowire.AppendTag(out, eventWallTime, protowire.Fixed64Type)
	out = protowire.AppendFixed64(out, math.Float64bits(wallTime))
	if step != 0 {
		out = protowire.AppendTag(out, eventStep, protowire.VarintType)
		out = protowire.AppendVarint(out, uint64(step))
	}
	return out
}

// appendValueHead begins a summary with one value of size bytes, up to and with its tag.
func appendValueHead(out []byte, size int, tag string) []byte {
	out = protowire.AppendTag(out, eventSummary, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(1+protowire.SizeBytes(size)))
	out = protowire.AppendTag(out, summaryValue, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(size))
	out = protowire.AppendTag(out, valueTag, protowire.BytesType)
	return protowire.AppendString(out, tag)
}

// event is what is read of an Event.
type event struct {
	wallTime float64
	step     int64
	values   []value
	start    bool // a SessionLog with status START, which only hosts before the manifests of version 2 wrote
}

type value struct {
	tag     string
	scalar  float32
	blank   bool   // it has no scalar: a tombstone
	encoded []byte // the whole value; valid as long as the record
}

var errEvent = errors.New("a record is no Event")

func parseEvent(data []byte) (e event, err error) {
	err = eachField(data, func(field protowire.Number, kind protowire.Type, content []byte, number uint64) error {
		switch {
		case field == eventWallTime && kind == protowire.Fixed64Type:
			e.wallTime = math.Float64frombits(number)
		case field == eventStep && kind == protowire.VarintType:
			e.step = int64(number)
		case field == eventSummary && kind == protowire.BytesType:
			return parseSummary(content, &e.values)
		case field == eventSessionLog && kind == protowire.BytesType:
			return eachField(content, func(field protowire.Number, kind protowire.Type, _ []byte, number uint64) error {
				e.start = e.start || field == sessionStatus && kind == protowire.VarintType && number == sessionStart
				return nil
			})
		}
		return nil
	})
	return e, err
}

func parseSummary(data []byte, values *[]value) error {
	return eachField(data, func(field protowire.Number, kind protowire.Type, content []byte, _ uint64) error {
		if field != summaryValue || kind != protowire.BytesType {
			return nil
		}
		v := value{blank: true, encoded: content}
		err := eachField(content, func(field protowire.Number, kind protowire.Type, content []byte, number uint64) error {
			switch {
			case field == valueTag && kind == protowire.BytesType:
				v.tag = string(content)
			case field == valueSimple && kind == protowire.Fixed32Type:
				v.scalar, v.blank = math.Float32frombits(uint32(number)), false
			}
			return nil
		})
		*values = append(*values, v)
		return err
	})
}

// eachField calls fn with each field of a message: its content if it is of BytesType, and otherwise its number.
func eachField(data []byte, fn func(protowire.Number, protowire.Type, []byte, uint64) error) error {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errEvent
		}
		data = data[n:]
		var (
			content []byte
			number  uint64
		)
		switch kind {
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(data)
		case protowire.Fixed32Type:
			var short uint32
			short, n = protowire.ConsumeFixed32(data)
			number = uint64(short)
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return errEvent
		}
		data = data[n:]
		if err := fn(field, kind, content, number); err != nil {
			return err
		}
	}
	return nil
}
