package run

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// process is one of this machine.
type process struct {
	pid     int
	command string // with its arguments, as far as a message has room
}

func contains(processes []process, pid int) bool {
	return slices.ContainsFunc(processes, func(p process) bool { return p.pid == pid })
}

// listed names processes that hold a lock; none are not known.
func listed(held []process) string {
	if len(held) == 0 {
		return "a process"
	}
	names := make([]string, len(held))
	for i, p := range held {
		names[i] = fmt.Sprintf("process %d (%s)", p.pid, p.command)
	}
	return strings.Join(names, ", ")
}

// howToEnd says how a user ends the processes that hold the lock of a directory.
func howToEnd(dir string, held []process) string {
	if len(held) == 0 {
		return "Find out which, and end it: lsof " + exit.ShellText(dir)
	}
	command := "End it: kill"
	for _, p := range held {
		command += " " + strconv.Itoa(p.pid)
	}
	return command
}

// leftBehind says what an attempt that has ended has left behind.
func leftBehind(dir string, held []process) string {
	return fmt.Sprintf("%s, which the plugin of an ended attempt has left behind, still runs. %s", listed(held), howToEnd(dir, held))
}
