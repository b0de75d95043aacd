package sdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// maxSpill bounds the file: tens of millions of points, which is hours of a host that does not answer.
const maxSpill = 1 << 30

// spill is a queue of batches in an unnamed file, for what does not fit into memory. Its zero value is empty.
type spill struct {
	file    *os.File
	batches int
	read    int64 // where the oldest batch begins
	written int64
}

func (s *spill) len() int { return s.batches }

// append adds points behind those that are there.
func (s *spill) append(points []*experimentv1.ScalarPoint) error {
	if s.file == nil {
		file, err := os.CreateTemp("", "metrics-")
		if err != nil {
			return fmt.Errorf("cannot spill metrics to disk: %w", err)
		}
		if err := os.Remove(file.Name()); err != nil { // so that it goes with the process
			return errors.Join(err, file.Close())
		}
		s.file = file
	}
	var encoded []byte
	batches := 0
	for batch := range slices.Chunk(points, wire.MaxBatchPoints) {
		message, err := proto.Marshal(&experimentv1.LogMetricsRequest{Scalars: batch})
		if err != nil {
			return err
		}
		encoded = binary.LittleEndian.AppendUint32(encoded, uint32(len(message)))
		encoded = append(encoded, message...)
		batches++
	}
	if s.written+int64(len(encoded)) > maxSpill {
		return fmt.Errorf("%d MiB of metrics are waiting on disk", s.written>>20)
	}
	if _, err := s.file.WriteAt(encoded, s.written); err != nil {
		return fmt.Errorf("cannot spill metrics to disk: %w", err)
	}
	s.written += int64(len(encoded))
	s.batches += batches
	return nil
}

// next takes the oldest batch.
func (s *spill) next() ([]*experimentv1.ScalarPoint, error) {
	var size [4]byte
	if _, err := s.file.ReadAt(size[:], s.read); err != nil {
		return nil, fmt.Errorf("cannot read spilled metrics: %w", err)
	}
	message := make([]byte, binary.LittleEndian.Uint32(size[:]))
	if _, err := io.ReadFull(io.NewSectionReader(s.file, s.read+4, int64(len(message))), message); err != nil {
		return nil, fmt.Errorf("cannot read spilled metrics: %w", err)
	}
	batch := new(experimentv1.LogMetricsRequest)
	if err := proto.Unmarshal(message, batch); err != nil {
		return nil, fmt.Errorf("cannot read spilled metrics: %w", err)
	}
	s.read += 4 + int64(len(message))
	if s.batches--; s.batches == 0 {
		s.read, s.written = 0, 0
		return batch.GetScalars(), s.file.Truncate(0)
	}
	return batch.GetScalars(), nil
}

func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
	}
}
