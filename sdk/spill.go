package sdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// maxSpill bounds the file, in bytes: tens of millions of points, which is hours of a host that does not answer.
const maxSpill = 1 << 30

// spill is a queue of batches in an unnamed file, for what does not fit into memory. The file is a ring, so that the
// limit is one of what waits and not of what ever passed through.
type spill struct {
	limit int64 // size of the ring

	file    *os.File
	batches int
	read    int64 // place of the oldest batch, counted without end; in the file it is the remainder by limit
	written int64 // place behind the newest
}

func (s *spill) len() int { return s.batches }

// append adds a batch behind those that are there. After an error nothing has changed.
func (s *spill) append(points []point) error {
	if err := s.open(); err != nil {
		return fmt.Errorf("cannot spill metrics to disk: %w", err)
	}
	message, err := proto.Marshal(&experimentv1.LogMetricsRequest{Scalars: toProto(points)})
	if err != nil {
		return err
	}
	record := append(binary.LittleEndian.AppendUint32(nil, uint32(len(message))), message...)
	if waiting := s.written - s.read; waiting+int64(len(record)) > s.limit {
		return fmt.Errorf("%d MiB of metrics are waiting on disk", waiting>>20)
	}
	if err := s.around(s.file.WriteAt, record, s.written); err != nil {
		return fmt.Errorf("cannot spill metrics to disk: %w", err)
	}
	s.written += int64(len(record))
	s.batches++
	return nil
}

// next takes the oldest batch.
func (s *spill) next() ([]*experimentv1.ScalarPoint, error) {
	batch := new(experimentv1.LogMetricsRequest)
	var size [4]byte
	err := s.around(s.file.ReadAt, size[:], s.read)
	if err == nil {
		message := make([]byte, binary.LittleEndian.Uint32(size[:]))
		if err = s.around(s.file.ReadAt, message, s.read+int64(len(size))); err == nil {
			err = proto.Unmarshal(message, batch)
		}
		s.read += int64(len(size) + len(message))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read spilled metrics: %w", err)
	}
	if s.batches--; s.batches == 0 {
		s.read, s.written = 0, 0
		return batch.GetScalars(), s.file.Truncate(0)
	}
	return batch.GetScalars(), nil
}

// open makes the file at the first use, and removes its name at once, so that it goes with the process.
func (s *spill) open() error {
	if s.file != nil {
		return nil
	}
	file, err := os.CreateTemp("", "metrics-")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file = file
	return nil
}

// around reads or writes at a place of the ring, in two parts where it crosses the end.
func (s *spill) around(do func([]byte, int64) (int, error), content []byte, place int64) error {
	place %= s.limit
	first := min(int64(len(content)), s.limit-place)
	if _, err := do(content[:first], place); err != nil {
		return err
	}
	if first == int64(len(content)) {
		return nil
	}
	_, err := do(content[first:], 0)
	return err
}

func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
	}
}
