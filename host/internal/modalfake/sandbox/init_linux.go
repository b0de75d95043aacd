package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// helperName is what a program is called while it is the helper.
const helperName = "modal-fake-sandbox"

// order is what the helper is to do before it becomes the program.
type order struct {
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Workdir string   `json:"workdir"`
	Root    string   `json:"root,omitempty"` // where to build another root directory; "" to keep this one
	Mounts  []Mount  `json:"mounts"`
}

// report is what the helper says, twice: when it is ready, with the file descriptor of the seccomp filter if there is
// one, and if it cannot become the program.
type report struct {
	Error   string `json:"error,omitempty"`
	NoSyncs string `json:"no_syncs,omitempty"` // why there is no filter
}

// socketFD is where the helper finds its socket.
const socketFD = 3

// Helper does not return if this process was started as the helper, which becomes the program of a Sandbox, or as the
// guard. An executable that starts Sandboxes calls it before anything else.
func Helper() {
	if len(os.Args) == 2 && os.Args[0] == guardName {
		runGuard(os.Args[1])
		os.Exit(0)
	}
	if len(os.Args) != 1 || os.Args[0] != helperName {
		ready = true
		return
	}
	runtime.LockOSThread() // the filter is one thread's, the one that becomes the program
	unix.CloseOnExec(socketFD)
	if err := become(); err != nil {
		_ = tell(report{Error: err.Error()}, -1)
	}
	os.Exit(127)
}

func become() error {
	var o order
	buffer := make([]byte, 1<<20)
	n, err := unix.Read(socketFD, buffer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(buffer[:n], &o); err != nil {
		return err
	}
	if o.Root != "" {
		if err := changeRoot(o.Root, o.Mounts); err != nil {
			return err
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("forgo capabilities: %w", err)
		}
	}
	if err := os.Chdir(o.Workdir); err != nil {
		return err
	}
	os.Clearenv()
	for _, variable := range o.Env {
		for i := range len(variable) {
			if variable[i] == '=' {
				os.Setenv(variable[:i], variable[i+1:])
				break
			}
		}
	}
	path, err := exec.LookPath(o.Args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return err
	}
	ready := report{}
	filter, err := filterCalls()
	if err != nil {
		ready.NoSyncs, filter = err.Error(), -1
	}
	if err := tell(ready, filter); err != nil {
		return err
	}
	if err := syscall.Exec(path, o.Args, o.Env); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func tell(r report, fd int) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	return unix.Sendmsg(socketFD, raw, rights, nil, 0)
}
