package sandbox

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// Process is a program that was started.
type Process struct {
	cmd   *exec.Cmd
	id    string
	stdin *os.File
	done  chan struct{} // closed when it has ended and all that it printed was delivered
	mu    sync.Mutex    // guards stdin
}

// lastWords is how long the output of a program is waited for once it has ended; a process that it left behind may
// hold the pipes open.
const lastWords = 2 * time.Second

// start starts the command, whose Path, Args and attributes are set, with pipes to it.
func start(cmd *exec.Cmd, spec Spec, inherit ...*os.File) (*Process, error) {
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdoutR, stdoutW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdinR.Close(), stdinW.Close())
	}
	stderrR, stderrW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdinR.Close(), stdinW.Close(), stdoutR.Close(), stdoutW.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = stdinR, stdoutW, stderrW, inherit
	p := &Process{cmd: cmd, id: spec.ID, stdin: stdinW, done: make(chan struct{})}
	started := make(chan error)
	var read sync.WaitGroup
	go func() {
		// The kernel's parent-death signal follows the thread that started the process (golang/go#27505).
		runtime.LockOSThread()
		err := cmd.Start()
		stdinR.Close()
		stdoutW.Close()
		stderrW.Close()
		if err != nil {
			stdinW.Close()
			stdoutR.Close()
			stderrR.Close()
			started <- err
			return
		}
		read.Go(func() { deliver(stdoutR, Stdout, spec.Output) })
		read.Go(func() { deliver(stderrR, Stderr, spec.Output) })
		started <- nil
		_ = cmd.Wait() // cmd.ProcessState says it
		p.killRest()
		_ = p.CloseStdin()
		deadline := time.Now().Add(lastWords)
		_ = stdoutR.SetReadDeadline(deadline)
		_ = stderrR.SetReadDeadline(deadline)
		read.Wait()
		close(p.done)
	}()
	return p, <-started
}

// deliver hands on what is printed, as valid UTF-8 without cutting a character in two.
func deliver(pipe *os.File, stream Stream, output func(Stream, string)) {
	defer pipe.Close()
	buffer, kept := make([]byte, 32<<10), 0
	for {
		n, err := pipe.Read(buffer[kept:])
		kept += n
		whole := wholeRunes(buffer[:kept])
		if err != nil {
			whole = kept
		}
		if whole > 0 {
			output(stream, strings.ToValidUTF8(string(buffer[:whole]), "\uFFFD"))
			kept = copy(buffer, bytes.Clone(buffer[whole:kept]))
		}
		if err != nil {
			return
		}
	}
}

// wholeRunes returns the length of p without a character at its end that is not complete.
func wholeRunes(p []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		if at := len(p) - back; utf8.RuneStart(p[at]) {
			if !utf8.FullRune(p[at:]) {
				return at
			}
			break
		}
	}
	return len(p)
}

// Done is closed when the program has ended and all that it printed was delivered.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is that of a program that has ended; 128 and the signal, as shells count, if one killed it.
func (p *Process) ExitCode() int {
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Write writes to the program's stdin.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin == nil {
		return 0, io.ErrClosedPipe
	}
	_ = p.stdin.SetWriteDeadline(time.Now().Add(time.Second)) // it may not read
	return p.stdin.Write(b)
}

// CloseStdin ends the program's stdin.
func (p *Process) CloseStdin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin == nil {
		return nil
	}
	err := p.stdin.Close()
	p.stdin = nil
	return err
}

// Signal sends a signal to the program alone.
func (p *Process) Signal(signal syscall.Signal) { _ = p.cmd.Process.Signal(signal) }

// Kill ends the program and all that it started.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Process.Kill()
}
