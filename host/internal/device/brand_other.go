//go:build !darwin

package device

// brand is what the system calls its processor, where /proc does not.
func brand() string { return "" }
