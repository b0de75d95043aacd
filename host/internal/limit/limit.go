// Package limit tells which limit of the system, of those that ulimit sets, is why something failed.
package limit

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// limit is one of the system's.
type limit struct {
	name     string // what is limited
	resource int    // of getrlimit
	flag     string // of ulimit
	raise    string // a command that gives enough
}

var (
	files     = limit{"open files", unix.RLIMIT_NOFILE, "-n", "ulimit -n 1024"}
	processes = limit{"processes", unix.RLIMIT_NPROC, "-u", "ulimit -u 4096"}
	memory    = limit{"memory", unix.RLIMIT_AS, "-v", "ulimit -v unlimited"}
	size      = limit{"the size of a file", unix.RLIMIT_FSIZE, "-f", "ulimit -f unlimited"}
)

// leastFiles is how many open files a command gets by with: mtt-host needs 22 to train a small experiment, and a plugin of
// its own fewer. Any system allows at least 256 unless it is told otherwise.
const leastFiles = 32

// Check refuses to begin with fewer open files than any command gets by with: below, the Go runtime itself fails.
// exit.Usage.
func Check() error {
	if allowed, ok := files.allowed(); ok && allowed < leastFiles {
		return files.reached(fmt.Errorf("mtt-host needs at least %d", leastFiles))
	}
	return nil
}

// Explain returns an error with exit.Usage that names the limit behind err, and nil where there is none.
func Explain(err error) error {
	begun, _ := errors.AsType[*fs.PathError](err)
	ofStart := begun != nil && begun.Op == "fork/exec"
	switch {
	case errors.Is(err, syscall.EMFILE):
		return files.reached(err)
	case errors.Is(err, syscall.EAGAIN) && ofStart:
		return processes.reached(err)
	case errors.Is(err, syscall.ENOMEM):
		return memory.reached(err)
	case errors.Is(err, syscall.EFBIG):
		return size.reached(err)
	case errors.Is(err, syscall.ENFILE):
		return exit.Errorf(exit.Usage, "the system's limit of open files is reached: %w", err).
			Hint("End other programs, or have its administrator raise the limit (on Linux fs.file-max).")
	case errors.Is(err, syscall.E2BIG) && ofStart:
		return exit.Errorf(exit.Usage, "the variables of the environment are too large for a program: %w", err).
			Hint("Give large values in files: --mount DIR:NAME.")
	default:
		return nil
	}
}

// signs are what programs print when a limit has ended them: the Go runtime, cgo, and what the C library and Go make of an
// error's number.
var signs = []struct {
	words string
	limit *limit
}{
	{"may need to increase max user processes", &processes},
	{"pthread_create failed: resource temporarily unavailable", &processes},
	{"too many open files", &files},
	{"cannot allocate memory", &memory},
	{"cannot reserve arena virtual address space", &memory},
}

// ExplainOutput is Explain for a program that has ended, by what it has printed.
func ExplainOutput(lines []string, err error) error {
	for _, line := range lines {
		for _, sign := range signs {
			if strings.Contains(strings.ToLower(line), sign.words) {
				return sign.limit.reached(err)
			}
		}
	}
	return nil
}

// allowed is how much the limit allows; not ok if that is unlimited or not known.
func (l limit) allowed() (n uint64, ok bool) {
	var found unix.Rlimit
	if err := unix.Getrlimit(l.resource, &found); err != nil || found.Cur == unlimited {
		return 0, false
	}
	return found.Cur, true
}

// unlimited is what getrlimit says where there is no limit.
const unlimited uint64 = unix.RLIM_INFINITY

func (l limit) reached(err error) error {
	from := "of the machine, the container or the batch system, since ulimit sets none"
	if allowed, ok := l.allowed(); ok {
		from = "ulimit " + l.flag + " is " + strconv.FormatUint(allowed, 10)
	}
	return exit.Errorf(exit.Usage, "the limit of %s is reached (%s): %w", l.name, from, err).
		Hint("Raise the limit: %s", l.raise)
}
