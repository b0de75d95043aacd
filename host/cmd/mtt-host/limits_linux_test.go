package main_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A limit of the file size is a disk that is full for the log alone, and is not any more when the limit is raised.
func TestEventsBehindAWriteThatFailedAreRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.start("run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=many-lines")
	p.waitFor("attempt 1 of run r")
	p.limitFiles(3 << 20) // in the middle of what the plugin is about to print
	p.waitFor("the attempt's log is incomplete")
	p.limitFiles(unix.RLIM_INFINITY)
	b.check(p.wait(), 0)
	logged := b.expect(0, nil, "logs", "r", "-o", "json").stdout
	b.everyEventOnce(logged, "plugin", "lines", 40_000)
	if !strings.Contains(logged, "attempt finished") || !strings.Contains(logged, `"kind":"gone"`) {
		t.Errorf("what follows on the gap is missing: %.2000s", logged)
	}
}

// limitFiles sets the limit of the size of the files that the process writes from now on.
func (p *process) limitFiles(size uint64) {
	p.b.Helper()
	limit := unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		p.b.Fatal(err)
	}
}
