package sdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mtt-project/mtt/proto/wire"
)

const (
	envFault     = "SDK_TEST_FAULT"
	envDirectory = "SDK_TEST_DIRECTORY"
	envGuard     = "SDK_TEST_GUARD"
)

// leaveWithin is what DESIGN promises of an attempt's processes, and leeway for a busy machine.
const leaveWithin = 5*time.Second + 5*time.Second

// hostToBeKilled starts a counter, which hangs or waits, and waits for it.
func hostToBeKilled() {
	directory := os.Getenv(envDirectory)
	command := counterCommand(directory)
	if os.Getenv(envGuard) == "ppid" {
		command.Env = append(command.Env, wire.EnvHostPID+"="+strconv.Itoa(os.Getpid()))
	}
	command.ExtraFiles = []*os.File{os.NewFile(3, "alive")}
	p, err := connect(command, directory)
	if err == nil && os.Getenv(envFault) == "is not asked to train" {
		err = os.WriteFile(filepath.Join(directory, "hanging"), fmt.Append(nil, command.Process.Pid), 0o600)
		time.Sleep(2 * tooLong)
	}
	if err == nil {
		_, err = p.Train(context.Background(), p.request(new(testHost), counterConfig{Steps: 10, Fault: os.Getenv(envFault)}))
	}
	fmt.Fprintln(os.Stderr, "the host was not killed:", err)
	os.Exit(1)
}

func TestPluginLeavesWhenItsHostIsKilled(t *testing.T) {
	for _, c := range []struct{ fault, guard string }{
		{"hangs", "ppid"},
		{"is not asked to train", "ppid"},
		{"hangs", "connection"},
		{"waits for its context", "connection"},
	} {
		t.Run(c.fault+", by "+c.guard, func(t *testing.T) {
			t.Parallel()
			directory := privateDir(t)
			// Both processes hold the pipe: it ends when both are gone, whoever reaps them.
			alive, inherited, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer alive.Close()
			host := exec.Command(os.Args[0])
			host.Env = []string{envRole + "=" + roleHost, envFault + "=" + c.fault, envGuard + "=" + c.guard, envDirectory + "=" + directory, "TMPDIR=" + directory}
			host.ExtraFiles = []*os.File{inherited}
			host.Stderr = os.Stderr
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			inherited.Close()
			hanging := &plugin{output: directory}
			within(t, "the start", func() bool { return hanging.has("hanging") })
			if err := host.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = host.Wait() // killed, as it should be
			if err := alive.SetReadDeadline(time.Now().Add(leaveWithin)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(alive); err != nil {
				t.Errorf("the plugin lives on without its host: %v", err)
				kill(t, filepath.Join(directory, "hanging"))
			}
		})
	}
}

// kill ends the process whose id is in the file.
func kill(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestPluginLeavesWhenTrainIsCancelled(t *testing.T) {
	t.Parallel()
	p := startCounter(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		within(t, "training", func() bool { return p.has("hanging") })
		cancel()
	}()
	if _, err := p.Train(ctx, p.request(new(testHost), counterConfig{Steps: 10, Fault: "hangs"})); err == nil {
		t.Error("Train returned without an error")
	}
	within(t, "the end of the plugin", p.client.Exited)
}

// A descriptor that holds a lock must not pass to what the experiment starts.
func TestLockIsKeptFromChildren(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "lock")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd())) // without close-on-exec, as if inherited
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	t.Setenv(wire.EnvLockFD, strconv.Itoa(fd))
	keepLockFromChildren()
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor has flags %#x, %v", flags, errno)
	}
}
