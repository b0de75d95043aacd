package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

// process is the plugin's operating-system process. It implements go-plugin's runner.Runner, because the one that
// go-plugin brings gives the plugin our terminal as stdin, keeps it in our process group, loses its exit status, and
// lets it live on when we are killed.
type process struct {
	cmd            *exec.Cmd
	id             atomic.Int64 // the process id; 0 before it has started
	killed         atomic.Bool  // by us, while it lived
	reaper         *reaper      // nil where there is no shell: then a killed host may leave the plugin's children behind
	stdout, stderr *os.File
	printed        *head         // the beginning of stdout, for an error about the handshake
	lines          *stream       // of stderr, as it is read: go-plugin passes on what has ended in a line feed
	done           chan struct{} // closed when the process has ended and cmd.ProcessState is set
	read           chan struct{} // closed when all that it printed has been read
	connections    connections   // with it
	runner.AttachedRunner
}

func newProcess(cmd *exec.Cmd, output *output) *process {
	cmd.SysProcAttr = attributes()
	return &process{cmd: cmd, printed: &head{sign: output.sign}, lines: output.stream(), done: make(chan struct{}), read: make(chan struct{})}
}

// Start starts the process from a thread that lives as long as the process does: the kernel's parent-death signal,
// which ends the plugin when this host is killed, follows the thread and not the process (golang/go#27505).
func (p *process) Start(context.Context) error {
	stdout, childStdout, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, childStderr, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdout.Close(), childStdout.Close())
	}
	p.cmd.Stdout, p.cmd.Stderr = childStdout, childStderr
	p.stdout, p.stderr = stdout, stderr

	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		if err == nil {
			p.id.Store(int64(p.cmd.Process.Pid))
			p.reaper, _ = watch(p.cmd.Process.Pid)
		}
		childStdout.Close()
		childStderr.Close()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // what it would say is in cmd.ProcessState
			close(p.done)
			p.connections.end()
			// A child that has left the group may hold the pipes open, and go-plugin would wait for their end.
			p.said(settle)
			p.stdout.Close()
			p.stderr.Close()
		}
	}()
	if err := <-started; err != nil {
		return errors.Join(err, stdout.Close(), stderr.Close())
	}
	return nil
}

func (p *process) Stdout() io.ReadCloser {
	return teed{io.TeeReader(p.stdout, p.printed), p.stdout}
}
func (p *process) Stderr() io.ReadCloser { return teed{io.TeeReader(p.stderr, p.lines), p.stderr} }
func (p *process) Name() string          { return p.cmd.Path }
func (p *process) ID() string            { return fmt.Sprint(p.pid()) }

// teed is a pipe of which more than one reads.
type teed struct {
	io.Reader
	io.Closer
}

// Diagnose would explain a failed start; startError does, which knows more.
func (p *process) Diagnose(context.Context) string { return "" }

// Wait waits for the process to end. go-plugin calls it once, when both pipes have ended.
func (p *process) Wait(context.Context) error {
	close(p.read)
	<-p.done
	return nil
}

// reaped is how long after its death a process may be unknown to have ended by itself, and so be taken for killed by us.
const reaped = 50 * time.Millisecond

// Kill is end, for go-plugin, which calls it when a start has failed: if the process has not ended by itself, it was us.
func (p *process) Kill(context.Context) error {
	p.killed.CompareAndSwap(false, p.pid() > 0 && !p.exited(reaped))
	return p.end()
}

// end ends the process and all that it has started.
func (p *process) end() error {
	if pid := p.pid(); pid > 0 {
		// The group has the plugin's pid, and outlives it while a child of it lives.
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

func (p *process) pid() int { return int(p.id.Load()) }

// exited waits up to d for the process to end.
func (p *process) exited(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

// said waits up to d until all that the process printed has been read: its last words are still in the pipe when it has
// ended. A child of it that lives on keeps the pipe open.
func (p *process) said(d time.Duration) {
	select {
	case <-p.read:
	case <-time.After(d):
	}
}

// head keeps the first bytes that are written to it, and calls sign for any; nil for nothing.
type head struct {
	sign  func()
	mu    sync.Mutex
	bytes []byte
}

func (h *head) Write(p []byte) (int, error) {
	if h.sign != nil {
		h.sign()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes = append(h.bytes, p[:min(len(p), 1024-len(h.bytes))]...)
	return len(p), nil
}

func (h *head) firstLine() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	line, _, _ := strings.Cut(string(h.bytes), "\n")
	return line
}
