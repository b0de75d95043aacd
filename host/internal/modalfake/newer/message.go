// Package newer has the few messages of Modal's control plane that its Python client 1.6.4 uses and modal-go's generated
// code, which is older, does not have. They are read and written by their field numbers, which are those of the
// client's modal_proto.api_pb2. Two generated copies of modal_proto cannot be in one binary, and generating part of one
// under another name would be more code than this.
package newer

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// fields are the values of a message: numbers by their bits, strings and messages by their bytes. A repeated field
// keeps its last value, and no request here has one.
type fields struct {
	numbers map[protowire.Number]uint64
	bytes   map[protowire.Number][]byte
}

func parse(raw []byte) (fields, error) {
	f := fields{numbers: make(map[protowire.Number]uint64), bytes: make(map[protowire.Number][]byte)}
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		raw = raw[n:]
		switch kind {
		case protowire.VarintType:
			f.numbers[number], n = protowire.ConsumeVarint(raw)
		case protowire.Fixed64Type:
			f.numbers[number], n = protowire.ConsumeFixed64(raw)
		case protowire.BytesType:
			f.bytes[number], n = protowire.ConsumeBytes(raw)
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return f, fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
		}
		raw = raw[n:]
	}
	return f, nil
}

func (f fields) text(number protowire.Number) string { return string(f.bytes[number]) }

// time reads a google.protobuf.Timestamp; the zero time if there is none.
func (f fields) time(number protowire.Number) (time.Time, error) {
	raw, ok := f.bytes[number]
	if !ok {
		return time.Time{}, nil
	}
	stamp, err := parse(raw)
	return time.Unix(int64(stamp.numbers[1]), int64(stamp.numbers[2])), err
}

type message []byte

func (m message) text(number protowire.Number, s string) message {
	return m.bytes(number, []byte(s))
}

func (m message) bytes(number protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, number, protowire.BytesType), b)
}

func (m message) varint(number protowire.Number, v uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, number, protowire.VarintType), v)
}

func (m message) double(number protowire.Number, v float64) message {
	return protowire.AppendFixed64(protowire.AppendTag(m, number, protowire.Fixed64Type), math.Float64bits(v))
}

// seconds writes a time as Modal's doubles have it; nothing for the zero time.
func (m message) seconds(number protowire.Number, t time.Time) message {
	if t.IsZero() {
		return m
	}
	return m.double(number, float64(t.UnixNano())/1e9)
}

func (m message) timestamp(number protowire.Number, t time.Time) message {
	return m.bytes(number, message(nil).varint(1, uint64(t.Unix())).varint(2, uint64(t.Nanosecond())))
}

// answer is the message to send: gRPC sends what an empty message does not know as it is.
func (m message) answer() proto.Message {
	answer := new(emptypb.Empty)
	answer.ProtoReflect().SetUnknown([]byte(m))
	return answer
}

// Raw returns the bytes of a request that was received as an empty message.
func Raw(request proto.Message) []byte { return request.ProtoReflect().GetUnknown() }
