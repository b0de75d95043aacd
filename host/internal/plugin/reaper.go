package plugin

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// reaper is a process that ends a plugin's process group when this host dies, however it dies: it waits for the end of a
// pipe that only we hold open. The kernel's parent-death signal, where there is one, ends the plugin alone, and the
// plugin's own watch cannot end what a killed plugin had started. A child that has left the group is beyond it.
type reaper struct {
	cmd  *exec.Cmd
	life *os.File // our end of the pipe
	once sync.Once
}

// watch starts a reaper for the process group pgid.
func watch(pgid int) (*reaper, error) {
	death, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer death.Close()
	// It outlives a signal to all processes of a job, which the host answers with a stop. A shell, since it is there where a compiler is, starts within a millisecond, and is no mtt-host: a pkill of all
	// of those spares it.
	cmd := exec.Command("/bin/sh", "-c", `trap "" INT TERM HUP; read -r _; kill -9 "-$1"`, "mtt-reaper", strconv.Itoa(pgid))
	cmd.Stdin = death
	cmd.Env = []string{"TMPDIR=" + os.TempDir()} // it needs none; this one tells whose it is
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		life.Close()
		return nil, err
	}
	return &reaper{cmd: cmd, life: life}, nil
}

// release ends the reaper, whose group has ended. A nil reaper has nothing to end.
func (r *reaper) release() {
	if r == nil {
		return
	}
	r.once.Do(func() {
		_ = r.cmd.Process.Kill() // before the pipe ends, so that it never sees that
		_ = r.cmd.Wait()
		r.life.Close()
	})
}
