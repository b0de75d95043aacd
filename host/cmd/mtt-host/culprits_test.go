package main_test

import (
	"os"
	"os/exec"
	"testing"
)

// What fails names what is to blame, and what can be done about it.
var culprits = []promise{
	{"tests that signals end pass where the shell that starts them ignores signals", testsSetTheirSignals},
}

func TestCulprits(t *testing.T) {
	t.Parallel()
	hold(t, culprits)
}

func testsSetTheirSignals(b *bench) {
	pluginPath("walk")
	tests := exec.Command("/bin/sh", "-c", `trap "" HUP INT QUIT; exec "$0" "$@"`,
		os.Args[0], "-test.count=1", "-test.run", "^TestStoppedRunGoesOnFromItsLastStep$/^(hangup|interrupt)$")
	tests.Env = append(os.Environ(), "MTT_BINARIES="+binaries)
	if said, err := tests.CombinedOutput(); err != nil {
		b.Errorf("%v\n%s", err, said)
	}
}
