package gomlx

import (
	"errors"
	"strings"
	"testing"
)

// The text is what an H200 with a full memory gave.
func TestMemoryThatRunsOutIsExplained(t *testing.T) {
	cause := errors.New("EXECUTION FAILED: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 32.00MiB with allocator GPU_0_bfc on device 0.")
	err := explain(cause)
	if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "the device has not enough free memory") {
		t.Errorf("got %v", err)
	}
	if other := errors.New("shapes do not match"); explain(other) != other {
		t.Error("another error is explained")
	}
}
