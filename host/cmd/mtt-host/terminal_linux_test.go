package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal that was stopped, or a pipe that nobody reads, holds up neither training nor a stop.
func TestStderrThatNobodyReadsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string]bool{"training": false, "a stop": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer read.Close()
			size, err := unix.FcntlInt(write.Fd(), unix.F_SETPIPE_SZ, 4096)
			if err != nil {
				t.Fatal(err)
			}
			const saves = 300 // each said in a line of some 30 bytes, together more than the pipe holds
			steps := saves
			if signals {
				steps = 1000000
			}
			command := exec.Command(hostPath, "run", pluginPath("walk"), "--name", "r", "-S", fmt.Sprintf("steps=%d", steps),
				"-S", "pause_us=0", "-S", "walkers=16", "--checkpoint-every", "1", "--outputs", b.outputs)
			command.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.tmp}
			command.Stderr = write
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			write.Close()
			defer func() {
				_ = command.Process.Kill()
				_ = command.Wait()
			}()
			want := "SUCCEEDED"
			if signals {
				b.eventually("enough is said to fill the pipe", func() bool {
					return exists(b.path("runs", "r", "log", "1.jsonl")) && strings.Count(b.read("runs", "r", "log", "1.jsonl"), `"saved"`) >= saves
				})
				if err := command.Process.Signal(syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
				want = "STOPPED"
			}
			b.eventually("the run is "+want, func() bool {
				return exists(b.path("runs", "r", "run.json")) && b.show("r").State == want
			})
			if waiting, err := unix.FcntlInt(read.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || waiting != size {
				t.Fatal("the pipe has grown, and may have held all")
			}
		})
	}
}

func TestTerminalShowsProgressLine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	screen, terminal := openTerminal(b)
	defer screen.Close()
	shown := make(chan string)
	go func() {
		var all []byte
		for buffer := make([]byte, 4096); ; {
			n, err := screen.Read(buffer) // fails when the last process has closed the terminal
			all = append(all, buffer[:n]...)
			if err != nil {
				shown <- string(all)
				return
			}
		}
	}()
	command := exec.Command(hostPath, "run", pluginPath("walk"), "--outputs", b.outputs, "--name", "watched",
		"-S", "steps=2500", "-S", "pause_us=500", "--checkpoint-every", "250ms")
	command.Dir = filepath.Dir(b.tmp)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.tmp, "TERM=xterm"}
	command.Stderr = terminal
	stdout, err := command.Output()
	terminal.Close()
	text := <-shown
	if err != nil || !strings.HasPrefix(string(stdout), "watched SUCCEEDED: mean_square ") {
		b.Fatalf("%v\nstdout: %s\nterminal: %q", err, stdout, text)
	}

	progress := regexp.MustCompile(`step \d+/2500 \(\d+%\) · [\d.e+]+ steps/s · [\dmsh.]+ left · walk/first -?[\d.]+, .*walk/mean_square [\d.]+ · checkpoint [\dms.]+ old`)
	if !progress.MatchString(text) {
		b.Errorf("there is no progress line: %q", text)
	}
	for line := range strings.Lines(text) { // what is left of each line once it was erased
		if kept := line[strings.LastIndex(line, "\x1b[K")+1:]; strings.Contains(kept, "steps/s") {
			b.Errorf("progress was not erased: %q", line)
		}
	}
	for _, want := range []string{b.path("runs", "watched"), "mtt-host show watched --outputs " + b.outputs, "mtt-host checkpoints ls watched", "tensorboard --logdir"} {
		if !strings.Contains(text[strings.LastIndex(text, "\x1b[K"):], want) {
			b.Errorf("the summary does not name %q: %q", want, text)
		}
	}
}

// openTerminal makes a pseudo-terminal, wide enough for a whole line of progress: what is written to terminal is read
// from screen.
func openTerminal(b *bench) (screen, terminal *os.File) {
	b.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 240})
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		b.Fatal(err)
	}
	return screen, terminal
}
