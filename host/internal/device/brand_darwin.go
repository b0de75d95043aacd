package device

import "syscall"

// brand is what the system calls its processor.
func brand() string {
	name, _ := syscall.Sysctl("machdep.cpu.brand_string")
	return name
}
