package plugin

import "syscall"

// attributes puts the plugin into a process group of its own, so that Ctrl-C reaches the host alone, which then asks
// the plugin to stop, and has the kernel end it when the host dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
