package tensorboard

import (
	"errors"
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
	sessionStatus    = 1 // enum
	sessionStart     = 1 // SessionLog.START
)

const fileVersion = "brain.Event:2"

func appendFileVersion(out []byte, wallTime float64) []byte {
	out = appendHead(out, wallTime, 0)
	out = protowire.AppendTag(out, eventFileVersion, protowire.BytesType)
	return protowire.AppendString(out, fileVersion)
}

func appendSessionStart(out []byte, wallTime float64) []byte {
	out = appendHead(out, wallTime, 0)
	out = protowire.AppendTag(out, eventSessionLog, protowire.BytesType)
	out = protowire.AppendVarint(out, 2)
	out = protowire.AppendTag(out, sessionStatus, protowire.VarintType)
	return protowire.AppendVarint(out, sessionStart)
}

// appendScalar encodes an Event with one value.
func appendScalar(out []byte, p Point) []byte {
	value := 1 + protowire.SizeBytes(len(p.Tag)) + 1 + 4
	out = appendHead(out, p.WallTime, p.Step)
	out = appendValueHead(out, value, p.Tag)
	out = protowire.AppendTag(out, valueSimple, protowire.Fixed32Type)
	return protowire.AppendFixed32(out, math.Float32bits(p.Value))
}

// appendBlank encodes an Event whose value has a tag and nothing else. Readers evict what they have of the tag from
// that step on, and show no point.
func appendBlank(out []byte, wallTime float64, tag string) []byte {
	out = appendHead(out, wallTime, 0)
	return appendValueHead(out, 1+protowire.SizeBytes(len(tag)), tag)
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
	start    bool // a SessionLog with status START
}

type value struct {
	tag    string
	scalar float32
	blank  bool
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
		v := value{blank: true}
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
