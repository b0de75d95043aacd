package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpu is the CPU time of a process, in seconds, apart from that of the children that it has waited for.
type cpu struct{ own, children float64 }

// readCPU waits until a child of ours has exited, and reads its times, which the kernel keeps until the child is waited
// for. wait4 would give the sum of both alone.
func readCPU(pid int) (cpu, error) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return cpu{}, fmt.Errorf("waitid: %w", err)
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return cpu{}, err
	}
	// proc(5): fields 14 to 17 are utime, stime, cutime and cstime; the second one, the name in brackets, may have spaces.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	const first = 14 - 3
	if len(fields) < first+4 {
		return cpu{}, fmt.Errorf("/proc/%d/stat has no times: %s", pid, stat)
	}
	var seconds [4]float64
	for i := range seconds {
		ticks, err := strconv.ParseFloat(fields[first+i], 64)
		if err != nil {
			return cpu{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		seconds[i] = ticks / 100 // USER_HZ, which is 100 on every architecture that Go runs on
	}
	return cpu{own: seconds[0] + seconds[1], children: seconds[2] + seconds[3]}, nil
}
