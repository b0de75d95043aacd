package run

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// longestCommand is how many bytes of a command line a message has room for.
const longestCommand = 120

// holders returns the processes that hold an exclusive lock on a directory, as far as this user may look at them.
func holders(dir string) (found []process) {
	dir = resolve(dir) // as the kernel names it
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, descriptor := range descriptors {
		if name, err := os.Readlink(descriptor); err != nil || name != dir {
			continue
		}
		process := filepath.Dir(filepath.Dir(descriptor))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil && !contains(found, pid) && locks(filepath.Join(process, "fdinfo", filepath.Base(descriptor))) {
			found = append(found, processOf(pid))
		}
	}
	return found
}

// locks says whether a descriptor, by its information in /proc, holds an exclusive flock.
func locks(information string) bool {
	raw, err := os.ReadFile(information)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(raw) {
		if bytes.HasPrefix(line, []byte("lock:")) && bytes.Contains(line, []byte("FLOCK")) && bytes.Contains(line, []byte("WRITE")) {
			return true
		}
	}
	return false
}

func processOf(pid int) process {
	raw, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	command := strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
	if len(command) > longestCommand {
		command = command[:longestCommand] + "…"
	}
	return process{pid, strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, command)}
}
