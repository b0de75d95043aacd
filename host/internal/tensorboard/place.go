package tensorboard

import "math"

// Place is behind a whole record of an event file. The curves of a checkpoint are what the files show up to its place,
// but for those that no attempt of its history has written.
type Place struct {
	// Attempt wrote the file; 0 for one of a host whose every file held the whole history.
	Attempt int
	File    string // name in the run's directory
	Bytes   uint64 // from the beginning of the file
	CRC32C  uint32 // of these bytes; 0 of attempt 0
}

// end is the place as an argument of readRecords.
func (p Place) end() int64 { return int64(min(p.Bytes, math.MaxInt64)) }
