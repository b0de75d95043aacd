package checkpoint

import (
	"math"
	"testing"

	"github.com/oklog/ulid/v2"
)

func TestIDIsReadAsItIsWritten(t *testing.T) {
	for _, id := range []ID{
		{Prefix: "digits", Step: 0, ULID: ulid.MustParseStrict("01KAR5S5W0ABCDEFGHJKMNPQRS")},
		{Prefix: "a-1-000000000001-", Step: math.MaxUint64, ULID: ulid.MustParseStrict("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")},
	} {
		if have, err := ParseID(id.String()); err != nil || have != id {
			t.Errorf("%s became %s, %v", id, have, err)
		}
	}
}

func TestOnlyCanonicalIDsAreRead(t *testing.T) {
	for _, s := range []string{
		"", "-", "--", "digits", "digits-000000000001", "-000000000001-01KAR5S5W0ABCDEFGHJKMNPQRS",
		"digits-1-01KAR5S5W0ABCDEFGHJKMNPQRS",
		"digits-0000000000001-01KAR5S5W0ABCDEFGHJKMNPQRS",
		"digits-+00000000001-01KAR5S5W0ABCDEFGHJKMNPQRS",
		"digits-000000000001-01kar5s5w0abcdefghjkmnpqrs",
		"digits-000000000001-81KAR5S5W0ABCDEFGHJKMNPQRS",
		"digits-000000000001-01KAR5S5W0ABCDEFGHJKMNPQR",
		"Digits-000000000001-01KAR5S5W0ABCDEFGHJKMNPQRS",
		"../digits-000000000001-01KAR5S5W0ABCDEFGHJKMNPQRS",
		"digits-000000000001-01KAR5S5W0ABCDEFGHJKMNPQRS/",
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q was read as %s", s, id)
		}
	}
}
