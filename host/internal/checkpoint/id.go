package checkpoint

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
)

// ID is the name of a checkpoint and of its directory: <prefix>-<step, at least 12 digits>-<ulid>. The ULID alone
// says which of two checkpoints is newer.
type ID struct {
	Prefix string
	Step   uint64
	ULID   ulid.ULID
}

// String is the inverse of ParseID.
func (id ID) String() string {
	return fmt.Sprintf("%s-%012d-%s", id.Prefix, id.Step, id.ULID)
}

// ParseID admits only what String writes, so an id that parses is safe as the name of a directory.
func ParseID(s string) (ID, error) {
	malformed := fmt.Errorf("%q is not the id of a checkpoint (<prefix>-<step>-<ulid>)", s)
	rest, last, _ := cutLast(s)
	prefix, digits, _ := cutLast(rest)
	if checkPrefix(prefix) != nil {
		return ID{}, malformed
	}
	step, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return ID{}, malformed
	}
	u, err := ulid.ParseStrict(last)
	if err != nil {
		return ID{}, malformed
	}
	id := ID{Prefix: prefix, Step: step, ULID: u}
	if id.String() != s {
		return ID{}, malformed
	}
	return id, nil
}

// CompareIDs orders ids from the oldest to the newest: by ULID, which sorts as text.
func CompareIDs(a, b string) int {
	_, ua, _ := cutLast(a)
	_, ub, _ := cutLast(b)
	return cmp.Or(strings.Compare(ua, ub), strings.Compare(a, b))
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

var prefixForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

func checkPrefix(prefix string) error {
	if !prefixForm.MatchString(prefix) {
		return fmt.Errorf("checkpoint prefix %q does not match %s", prefix, prefixForm)
	}
	return nil
}
