package wire

import "fmt"

// ProtocolError says that the peer broke a rule of the stream.
type ProtocolError struct{ Rule string }

func (e *ProtocolError) Error() string { return "the stream broke a rule: " + e.Rule }

func brokenf(format string, args ...any) error {
	return &ProtocolError{Rule: fmt.Sprintf(format, args...)}
}

// DataLossError says that what arrived of a blob is not what was sent.
type DataLossError struct {
	Blob               string
	WantSize, HaveSize uint64
	WantCRC, HaveCRC   uint32
}

func (e *DataLossError) Error() string {
	return fmt.Sprintf("blob %q did not arrive as it was sent: %d bytes with CRC-32C %08x, and %d with %08x were announced",
		e.Blob, e.HaveSize, e.HaveCRC, e.WantSize, e.WantCRC)
}
