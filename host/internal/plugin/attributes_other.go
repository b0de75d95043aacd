//go:build !linux

package plugin

import "syscall"

// attributes puts the plugin into a process group of its own, so that Ctrl-C reaches the host alone, which then asks
// the plugin to stop. That it leaves when the host dies is the SDK's work here.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
