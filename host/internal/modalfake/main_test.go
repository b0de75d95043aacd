package modalfake_test

import (
	"testing"

	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
)

// The tests drive the real modal-fake, with the clients that Modal publishes.
func TestMain(m *testing.M) { faketest.Main(m) }
