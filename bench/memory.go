package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// mostMemory is what a process of mtt-host may have in memory, in MB, whatever a plugin does.
const mostMemory = 100

// watched is how long a command that has no end is watched.
const watched = 20 * time.Second

// bounds measures what a plugin that does not keep to any measure costs.
func (b *bench) bounds() error {
	b.machine.processor = processor()
	_, version, err := b.command(nil, b.binary("mtt-host"), "version")
	if err != nil {
		return err
	}
	b.machine.uses(string(bytes.TrimSpace(version)))
	outputs := filepath.Join(b.scratch, "bounds")
	host := func(args ...string) *exec.Cmd {
		command := exec.CommandContext(b.ctx, b.binary("mtt-host"), args...)
		command.Env = append(os.Environ(), "MTT_OUTPUTS="+outputs)
		return command
	}
	faulty := b.binary("faulty")
	peak, err := peakMemory(host("run", faulty, "--env-var", "FAULTY=error-huge", "--name", "error"), 0)
	if err != nil {
		return err
	}
	b.memory("a run whose plugin returns an error of 100 MB", peak)

	if said, err := host("run", faulty, "--env-var", "FAULTY=floods", "-S", "steps=1000000000", "--name", "floods", "-d").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	peak, err = peakMemory(host("attach", "floods"), watched)
	if said, stopErr := host("stop", "floods", "--now").CombinedOutput(); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", stopErr, said))
	}
	if err != nil {
		return err
	}
	b.memory("attach on a plugin that prints without end", peak)

	if err := bigLog(filepath.Join(outputs, "runs", "floods", "log")); err != nil {
		return err
	}
	peak, err = peakMemory(host("logs", "floods"), 0)
	if err != nil {
		return err
	}
	b.memory("logs of 200 MB", peak)
	return nil
}

// bigLog replaces the log of a run's only attempt by one of 200 MB.
func bigLog(dir string) error {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "1.jsonl"))
	if err != nil {
		return err
	}
	to, line := bufio.NewWriter(file), strings.Repeat("x", 80)
	for size, n := 0, 1; size < 200e6; n++ {
		wrote, err := fmt.Fprintf(to, `{"schema":"mtt.event/v1","time":"2026-01-01T00:00:00Z","attempt":1,"seq":%d,"kind":"plugin","message":"%s"}`+"\n", n, line)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		size += wrote
	}
	return errors.Join(to.Flush(), file.Close())
}

func (b *bench) memory(what string, peak float64) {
	b.add(row{
		what: "memory of mtt-host, " + what, figure: fmt.Sprintf("%.0f MB", peak),
		wanted: fmt.Sprintf("at most %d MB", mostMemory), reached: peak > 0 && peak <= mostMemory,
	})
}

// peakMemory runs a command to its end, or for a time if that is not 0, and returns the most that its process alone had in
// memory, in MB. What the kernel says at its end would count its children's.
func peakMemory(command *exec.Cmd, atMost time.Duration) (peak float64, err error) {
	if err := command.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	var enough <-chan time.Time
	if atMost > 0 {
		enough = time.After(atMost)
	}
	for {
		peak = max(peak, memoryOf(command.Process.Pid))
		select {
		case err := <-ended:
			if _, failed := errors.AsType[*exec.ExitError](err); failed {
				err = nil // which is what is measured
			}
			return peak, err
		case <-enough:
			_ = command.Process.Kill()
			<-ended
			return peak, nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// memoryOf is the most that a process has had in memory, in MB; 0 where the system does not say, or it has ended.
func memoryOf(pid int) float64 {
	status, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseFloat(string(fields[0]), 64)
	return kib * 1024 / 1e6
}
