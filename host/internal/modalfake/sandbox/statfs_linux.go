package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is a call of a program, which waits for the verdict.
type notification struct {
	raw    rawNotification
	filter int
}

// file opens what the call is about, without looking into it: the file behind a descriptor, or that at a path.
func (n notification) file() (*os.File, error) {
	if n.raw.call.number != unix.SYS_STATFS {
		return open(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/fd/%d", n.raw.pid, int32(n.raw.call.args[0])), 0)
	}
	path, err := n.path(n.raw.call.args[0])
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(path, "/") {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", n.raw.pid))
		if err != nil {
			return nil, err
		}
		path = cwd + "/" + path
	}
	root, err := open(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/root", n.raw.pid), 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return open(int(root.Fd()), path, unix.RESOLVE_IN_ROOT)
}

func open(dir int, path string, resolve uint64) (*os.File, error) {
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// path reads a string out of the program's memory.
func (n notification) path(address uint64) (string, error) {
	memory, err := n.memory(os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer memory.Close()
	buffer := make([]byte, unix.PathMax)
	read, err := memory.ReadAt(buffer, int64(address)) // less, if the next page is not there
	path, _, ok := bytes.Cut(buffer[:read], []byte{0})
	if !ok {
		return "", fmt.Errorf("a path: %w", err)
	}
	return string(path), nil
}

// memory opens the program's memory, and makes sure that it is still the one that waits.
func (n notification) memory(flags int) (*os.File, error) {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", n.raw.pid), flags, 0)
	if err != nil {
		return nil, err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.filter), isValid, uintptr(unsafe.Pointer(&n.raw.id))); errno != 0 {
		memory.Close()
		return nil, errno
	}
	return memory, nil
}

// statfs answers for a file on a mount with placeholders, if there are any.
func (n notification) statfs(file *os.File, m *Mount, spec Spec) (answered bool, err error) {
	free, ok := spec.Free(*m)
	if !ok {
		return false, nil
	}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &stat); err != nil {
		return false, nil
	}
	stat.Blocks = free / uint64(stat.Bsize)
	stat.Bfree, stat.Bavail, stat.Files, stat.Ffree = stat.Blocks, stat.Blocks, 0, 0
	memory, err := n.memory(os.O_WRONLY)
	if err != nil {
		return true, err
	}
	defer memory.Close()
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&stat)), unsafe.Sizeof(stat))
	if _, err := memory.WriteAt(raw, int64(n.raw.call.args[1])); err != nil {
		return true, unix.EFAULT
	}
	return true, nil
}
