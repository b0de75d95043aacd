package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layouts of linux/seccomp.h, which golang.org/x/sys/unix does not have.
type notification struct {
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
	receive = ioctl(3, 0, unsafe.Sizeof(notification{})) // SECCOMP_IOCTL_NOTIF_RECV
	send    = ioctl(3, 1, unsafe.Sizeof(verdict{}))      // SECCOMP_IOCTL_NOTIF_SEND
)

func ioctl(direction, number, size uintptr) uintptr {
	return direction<<30 | size<<16 | '!'<<8 | number
}

// filterSyncs makes each fsync of this thread, and of what becomes of it, wait for the owner of the returned file
// descriptor.
func filterSyncs() (fd int, err error) {
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
		{Code: equal, K: unix.SYS_FSYNC, Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
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
		return -1, fmt.Errorf("filter syncs: %w", errno)
	}
	return int(n), nil
}

// serveSyncs answers for each fsync until the last process under the filter has ended.
func serveSyncs(filter int, spec Spec) {
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
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(filter), receive, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // it was killed meanwhile
		}
		go func() { // a commit takes its time, and others go on syncing their logs
			v := verdict{id: n.id, flags: continueCall}
			if m := synced(n, spec.Mounts); m != nil {
				if err := spec.Synced(*m); err != nil {
					v.flags, v.errno = 0, -int32(errnoOf(err))
				}
			}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(filter), send, uintptr(unsafe.Pointer(&v)))
		}()
	}
}

// synced returns the mount whose own directory the call is about; nil if it is about something else.
func synced(n notification, mounts []Mount) *Mount {
	if n.call.number != unix.SYS_FSYNC {
		return nil
	}
	file, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.call.args[0])))
	if err != nil {
		return nil
	}
	for _, m := range mounts {
		if source, err := os.Stat(m.Source); err == nil && os.SameFile(file, source) {
			return &m
		}
	}
	return nil
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
