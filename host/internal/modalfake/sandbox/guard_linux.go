package sandbox

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// guardName is what the guard is called.
const guardName = "modal-fake-guard"

// guard starts a process that outlives this one for as long as it takes to end the processes of its Sandboxes: the
// kernel's parent-death signal reaches only the first of each. It holds what is in hold open until then.
func (s *Starter) guard(hold ...*os.File) error {
	s.guardian = &exec.Cmd{Path: s.helper, Args: []string{guardName, s.mark}, ExtraFiles: hold}
	s.guardian.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends the owner's group must not end it
	pipe, err := s.guardian.StdinPipe()
	if err != nil {
		return err
	}
	s.owner = pipe
	return s.guardian.Start()
}

// runGuard waits until the owner has gone.
func runGuard(mark string) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	killMarked(ownerMarker + "=" + mark)
}

// Close ends all processes of all Sandboxes.
func (s *Starter) Close() error {
	if s.guardian == nil || s.guardian.Process == nil {
		return nil
	}
	s.owner.Close()
	return s.guardian.Wait()
}

// killMarked ends all processes that have the variable, as NAME=value, in their environment.
func killMarked(variable string) {
	mark := []byte("\x00" + variable + "\x00")
	for again := true; again; { // until a look finds none: one may start another meanwhile
		again = false
		paths, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range paths {
			environ, err := os.ReadFile(path)
			if err != nil || !bytes.Contains([]byte("\x00"+string(environ)+"\x00"), mark) {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				again = true
			}
		}
	}
}

// killRest ends what the program started and left.
func (p *Process) killRest() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	killMarked(marker + "=" + p.id)
}
