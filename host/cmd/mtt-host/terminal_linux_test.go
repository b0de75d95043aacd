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
	stdout, text := b.onTerminal("run", pluginPath("walk"), "--outputs", b.outputs, "--name", "watched",
		"-S", "steps=2500", "-S", "pause_us=500", "--checkpoint-every", "250ms")
	if !strings.HasPrefix(stdout, "watched SUCCEEDED: mean_square ") {
		b.Fatalf("stdout: %s\nterminal: %q", stdout, text)
	}

	progress := regexp.MustCompile(`step \d+/2500 \(\d+%\) · [\d.e+]+ steps/s · [\dmsh.]+ left · walk/first -?[\d.]+, .*walk/mean_square [\d.]+ · checkpoint [\dms.]+ old`)
	if !progress.MatchString(text) {
		b.Errorf("there is no progress line: %q", text)
	}
	b.erased(text, "steps/s")
	for _, want := range []string{b.path("runs", "watched"), "mtt-host show watched --outputs " + b.outputs, "mtt-host checkpoints ls watched", "tensorboard --logdir"} {
		if !strings.Contains(text[strings.LastIndex(text, "\x1b[K"):], want) {
			b.Errorf("the summary does not name %q: %q", want, text)
		}
	}
}

func TestCopyingShowsProgressOnATerminalAndNowhereElse(t *testing.T) {
	t.Parallel()
	m := newModalBench(t, "block-delay=600ms")
	m.fake.MustModal(t, "volume", "create", "outputs", "--version", "2")
	file := filepath.Join(t.TempDir(), "file")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one") // content that the volume has would not travel, and nothing would wait
	if said := m.expect(0, nil, "volume", "put", "outputs", file, "one").stderr; strings.Contains(said, "\x1b") {
		t.Errorf("a line of progress where there is no terminal: %q", said)
	}
	write("other")
	_, text := m.onTerminal("volume", "put", "outputs", file, "other")
	if !regexp.MustCompile(`\x1b\[K\d files?, \d+ B, \d+ B/s; \d unchanged`).MatchString(text) {
		t.Errorf("there is no line of progress: %q", text)
	}
	m.erased(text, "B/s;")
}

// onTerminal runs mtt-host with a terminal as its stderr, and returns what that showed. It must succeed.
func (b *bench) onTerminal(args ...string) (stdout, text string) {
	b.Helper()
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
	command := exec.Command(hostPath, args...)
	command.Dir = filepath.Dir(b.tmp)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.tmp, "TERM=xterm"}, b.env...)
	command.Stderr = terminal
	printed, err := command.Output()
	terminal.Close()
	text = <-shown
	if err != nil {
		b.Fatalf("%v\nstdout: %s\nterminal: %q", err, printed, text)
	}
	return string(printed), text
}

// erased wants nothing to be left of lines of progress, which have a word.
func (b *bench) erased(text, word string) {
	b.Helper()
	for line := range strings.Lines(text) {
		if kept := line[strings.LastIndex(line, "\x1b[K")+1:]; strings.Contains(kept, word) {
			b.Errorf("progress was not erased: %q", line)
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
