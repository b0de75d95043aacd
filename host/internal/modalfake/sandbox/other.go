//go:build !linux

package sandbox

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Helper has nothing to do here: programs are started without one.
func Helper() { ready = true }

func (s *Starter) probe(string, Mode) error {
	s.mode = Rewriting
	return nil
}

func (s *Starter) guard(...*os.File) error { return nil }

// Close has nothing to do: a program's processes end with it, unless they left its group.
func (s *Starter) Close() error { return nil }

// Start starts a program.
func (s *Starter) Start(spec Spec) (*Process, error) {
	args := rewriteAll(spec.Args, spec.Mounts)
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: args, Dir: rewrite(spec.Workdir, spec.Mounts)}
	cmd.Env = append(rewriteAll(spec.Env, spec.Mounts), marker+"="+strings.TrimSpace(spec.ID))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return start(cmd, spec)
}

func (p *Process) killRest() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
