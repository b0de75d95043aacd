package wire

import (
	"fmt"
	"unicode/utf8"
)

// moreBytes is the room for "… (18446744073709551615 bytes more)".
const moreBytes = 40

// Text makes of bytes what can be shown, in at most limit bytes: a byte that belongs to no character of UTF-8 becomes `\x`
// and two digits, and where not all has room, the text says how many bytes follow.
func Text[T string | []byte](raw T, limit int) string {
	return Beginning(raw[:min(len(raw), limit)], uint64(len(raw)), limit)
}

// Beginning is Text for a reader that has kept only the beginning, of at least limit bytes, of size bytes.
func Beginning[T string | []byte](kept T, size uint64, limit int) string {
	var (
		out         []byte
		shown, from int // bytes of out, and of kept, that leave room to say how many more there are
	)
	rest := string(kept)
	for len(rest) > 0 && len(out) <= limit {
		if len(out) <= limit-moreBytes {
			shown, from = len(out), len(kept)-len(rest)
		}
		r, n := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && n == 1 {
			out = fmt.Appendf(out, `\x%02x`, rest[0])
		} else {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	if len(rest) == 0 && len(out) <= limit && size == uint64(len(kept)) {
		return string(out)
	}
	return fmt.Sprintf("%s… (%d bytes more)", out[:shown], size-uint64(from))
}
