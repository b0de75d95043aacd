package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layouts of linux/seccomp.h, which golang.org/x/sys/unix does not have.
type rawNotification struct {
	id    uint64
	pid   uint32
	flags uint32
	call  struct {
		number  int32
		arch    uint32
		address uint64
		args    [6]uint64
	}
}

type verdict struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// continueCall lets the kernel carry out the call.
const continueCall = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE

var (
	receive = ioctl(3, 0, unsafe.Sizeof(rawNotification{})) // SECCOMP_IOCTL_NOTIF_RECV
	send    = ioctl(3, 1, unsafe.Sizeof(verdict{}))         // SECCOMP_IOCTL_NOTIF_SEND
	isValid = ioctl(1, 2, unsafe.Sizeof(uint64(0)))         // SECCOMP_IOCTL_NOTIF_ID_VALID
)

func ioctl(direction, number, size uintptr) uintptr {
	return direction<<30 | size<<16 | '!'<<8 | number
}

// filterCalls makes each fsync and statfs of this thread, and of what becomes of it, wait for the owner of the returned
// file descriptor.
func filterCalls() (fd int, err error) {
	const (
		numberAt = 0 // in struct seccomp_data
		load     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer   = unix.BPF_RET | unix.BPF_K
	)
	// The architecture is not looked at: a call of another one that happens to have this number is asked about, and
	// carried on with.
	program := []unix.SockFilter{
		{Code: load, K: numberAt},
		{Code: equal, K: unix.SYS_FSYNC, Jt: 3},
		{Code: equal, K: unix.SYS_STATFS, Jt: 2},
		{Code: equal, K: unix.SYS_FSTATFS, Jt: 1},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
		{Code: answer, K: unix.SECCOMP_RET_USER_NOTIF},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("forgo privileges: %w", err)
	}
	// A signal that arrives meanwhile would have the call made again, and the commit with it, but for the second flag,
	// which Linux has since 5.19.
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	n, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&filter)))
	if errno == unix.EINVAL {
		n, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&filter)))
	}
	if errno != 0 {
		return -1, fmt.Errorf("filter calls: %w", errno)
	}
	return int(n), nil
}

// serveCalls answers for each call until the last process under the filter has ended.
func serveCalls(filter int, spec Spec, mode Mode) {
	defer unix.Close(filter)
	for {
		poll := []unix.PollFd{{Fd: int32(filter), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents != 0 {
				return // nobody is left
			}
			continue
		}
		n := notification{filter: filter}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(filter), receive, uintptr(unsafe.Pointer(&n.raw))); errno != 0 {
			continue // it was killed meanwhile
		}
		go func() { // a commit takes its time, and others go on syncing their logs
			v := decide(n, spec, mode)
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(filter), send, uintptr(unsafe.Pointer(&v)))
		}()
	}
}

// decide returns what becomes of a call. What is not about a mount is the kernel's to carry out.
func decide(n notification, spec Spec, mode Mode) verdict {
	v := verdict{id: n.raw.id, flags: continueCall}
	file, err := n.file()
	if err != nil {
		return v
	}
	defer file.Close()
	m := mountOf(file, spec, mode)
	if m == nil {
		return v
	}
	var answered bool
	if n.raw.call.number == unix.SYS_FSYNC {
		err = synced(file, m, spec)
		answered = err != nil
	} else {
		answered, err = n.statfs(file, m, spec)
	}
	if answered {
		v.flags = 0
	}
	if err != nil {
		v.errno = -int32(errnoOf(err))
	}
	return v
}

// mountOf returns the mount that a file of a program is on; nil if it is on none. The kernel says where the program sees
// it, if it has a mount namespace of its own.
func mountOf(file *os.File, spec Spec, mode Mode) *Mount {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		return nil
	}
	for _, m := range spec.Mounts {
		at := m.Path
		if mode == Rewriting {
			if at, err = filepath.EvalSymlinks(m.Source); err != nil {
				continue
			}
		}
		if path == at || strings.HasPrefix(path, at+"/") {
			return &m
		}
	}
	return nil
}

// synced has the owner hear of it if the file is the mount's own directory.
func synced(file *os.File, m *Mount, spec Spec) error {
	if spec.DiskFull {
		return syscall.ENOSPC
	}
	of, err := file.Stat()
	if err != nil {
		return nil
	}
	if source, err := os.Stat(m.Source); err != nil || !os.SameFile(of, source) {
		return nil
	}
	return spec.Synced(*m)
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
