package gomlx

import (
	"strings"
	"testing"
)

func TestDeviceThatIsNotInTheBuildIsRefused(t *testing.T) {
	for _, device := range []string{"tpu", ""} {
		if _, err := Backend(device); err == nil || !strings.Contains(err.Error(), "this build, which has") {
			t.Errorf("device %q: got error %v, want one that says what this build has", device, err)
		}
	}
}
