package sandbox

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// killRest ends what the program started and left: all that is in its process group or bears its mark.
func (p *Process) killRest() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	mark := []byte(marker + "=" + p.id + "\x00")
	for again := true; again; { // until a look finds none: one may start another meanwhile
		again = false
		paths, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range paths {
			environ, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(append(environ, 0), mark) {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				again = true
			}
		}
	}
}
