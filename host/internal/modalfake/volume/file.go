package volume

import (
	"bytes"
	"errors"
	"io"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
)

// Blocks returns how many blocks a file of that size has.
func Blocks(size uint64) int { return int((size + BlockSize - 1) / BlockSize) }

// Trim cuts the zero bytes at the end of a block, which are neither hashed nor transferred.
func Trim(block []byte) []byte { return bytes.TrimRight(block, "\x00") }

// Store cuts what r has into blocks, stores them, and returns them with the size of it all.
func Store(store *content.Store, r io.Reader) (blocks []content.Sum, size uint64, err error) {
	buffer := make([]byte, BlockSize)
	for {
		n, err := io.ReadFull(r, buffer)
		if n > 0 {
			sum, err := store.Put(Trim(buffer[:n]))
			if err != nil {
				return nil, 0, err
			}
			blocks = append(blocks, sum)
			size += uint64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return blocks, size, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// Write writes the file to w.
func (e Entry) Write(store *content.Store, w io.Writer) error {
	left := e.Size
	for _, sum := range e.Blocks {
		block, err := store.Get(sum)
		if err != nil {
			return err
		}
		length := min(left, BlockSize)
		left -= length
		if _, err := w.Write(block); err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, length-uint64(len(block)))); err != nil {
			return err
		}
	}
	return nil
}

// Piece is a part of one block of a file.
type Piece struct {
	Sum        content.Sum
	Start, End uint64 // within the block
}

// Pieces returns what makes up the bytes from start to start+length of the file: one piece for each block that the
// range touches.
func (e Entry) Pieces(start, length uint64) (pieces []Piece) {
	for end := start + length; start < end; {
		block := start / BlockSize
		next := min(end, (block+1)*BlockSize)
		pieces = append(pieces, Piece{Sum: e.Blocks[block], Start: start - block*BlockSize, End: next - block*BlockSize})
		start = next
	}
	return pieces
}
