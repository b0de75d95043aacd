package limit

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/mtt-project/mtt/host/internal/exit"
)

func TestLimitBehindAnErrorIsNamed(t *testing.T) {
	start := func(err error) error { return &fs.PathError{Op: "fork/exec", Path: "/bin/plugin", Err: err} }
	for _, c := range []struct {
		err  error
		want string // "" for no limit
	}{
		{&fs.PathError{Op: "open", Path: "f", Err: syscall.EMFILE}, "ulimit -n is"},
		{os.NewSyscallError("pipe2", syscall.EMFILE), "the limit of open files"},
		{&fs.PathError{Op: "open", Path: "f", Err: syscall.ENFILE}, "the system's limit of open files"},
		{start(syscall.EMFILE), "the limit of open files"},
		{start(syscall.EAGAIN), "the limit of processes"},
		{start(syscall.ENOMEM), "the limit of memory"},
		{start(syscall.E2BIG), "too large for a program"},
		{&fs.PathError{Op: "write", Path: "f", Err: syscall.EFBIG}, "the limit of the size of a file"},
		{&fs.PathError{Op: "read", Path: "f", Err: syscall.EAGAIN}, ""},
		{start(syscall.ENOENT), ""},
		{syscall.ENOSPC, ""},
		{errors.New("too many open files"), ""},
		{nil, ""},
	} {
		err := Explain(c.err)
		switch {
		case c.want == "":
			if err != nil {
				t.Errorf("%v is explained as %v", c.err, err)
			}
		case exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err) || exit.NextOf(err) == "":
			t.Errorf("%v is explained as %v (%d, %q), want %q", c.err, err, exit.Of(err), exit.NextOf(err), c.want)
		}
	}
}

func TestLimitBehindTheEndOfAProgramIsNamed(t *testing.T) {
	ended := errors.New("the plugin exited with code 2")
	for _, c := range []struct{ printed, want string }{
		{"runtime: failed to create new OS thread (have 3 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc", "the limit of processes"},
		{"runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort", "the limit of processes"},
		{"plugin.Serve: listen unix /tmp/s: socket: too many open files", "the limit of open files"},
		{"OSError: [Errno 24] Too many open files: 'x'", "the limit of open files"},
		{"runtime: cannot reserve arena virtual address space\nfatal error: out of memory", "the limit of memory"},
		{"panic: index out of range", ""},
		{"", ""},
	} {
		err := ExplainOutput(strings.Split(c.printed, "\n"), ended)
		if c.want == "" && err != nil || c.want != "" && (exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ended)) {
			t.Errorf("%q is explained as %v, want %q", c.printed, err, c.want)
		}
	}
}
