package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// slot is how long one of two programs runs while the other one is stopped: long beside a step, and short beside the
// moods of a machine that others use as well.
const slot = 250 * time.Millisecond

// span is a time in which a program ran, in seconds since 1970.
type span struct{ from, to float64 }

// bySlots starts two programs at once and lets them run by turns, each while the other one is stopped. It returns the
// steps per second of each, in the slots in which both were between step 100 and their end. first is the one that begins.
func bySlots(first int, programs [2]program) (trials [2]trial, rates [2]float64, err error) {
	var errs [2]error
	var running [2]*os.Process
	done := make(chan int, 2)
	for i, program := range programs {
		started := make(chan *os.Process, 1)
		go func() {
			trials[i], errs[i] = program(func(process *os.Process) { started <- process })
			close(started) // should it not have started
			done <- i
		}()
		running[i] = <-started
	}
	var slots [2][]span
	left := 2
	for i := first; left == 2; i = 1 - i {
		pause(running[1-i])
		resume(running[i])
		now := span{from: seconds(time.Now())}
		select {
		case <-done:
			left--
		case <-time.After(slot):
			now.to = seconds(time.Now())
			slots[i] = append(slots[i], now)
		}
	}
	for ; left > 0; left-- {
		resume(running[0])
		resume(running[1])
		<-done
	}
	for i := range errs {
		if errs[i] != nil {
			return trials, rates, errs[i]
		}
	}
	both, err := overlap(trials)
	if err != nil {
		return trials, rates, err
	}
	for i := range rates {
		if rates[i], err = trials[i].rateIn(slots[i], both); err != nil {
			return trials, rates, err
		}
	}
	return trials, rates, nil
}

// overlap is the time in which both were between step 100 and their last step.
func overlap(trials [2]trial) (both span, err error) {
	for i, t := range trials {
		if len(t.stamps) <= warm {
			return span{}, fmt.Errorf("there is no step behind step %d", warm)
		}
		from, to := t.stamps[warm-1].Time, t.stamps[len(t.stamps)-1].Time
		if i == 0 {
			both = span{from, to}
		}
		both = span{max(both.from, from), min(both.to, to)}
	}
	return both, nil
}

// rateIn is the number of steps per second in those of the slots that lie within a time.
func (t trial) rateIn(slots []span, within span) (float64, error) {
	steps, length := 0, 0.0
	for _, s := range slots {
		if s.from < within.from || s.to > within.to {
			continue
		}
		length += s.to - s.from
		for _, stamp := range t.stamps {
			if stamp.Time >= s.from && stamp.Time < s.to {
				steps++
			}
		}
	}
	if steps == 0 {
		return 0, fmt.Errorf("no step fell into the time that both programs trained: train for longer, with -seconds")
	}
	return float64(steps) / length, nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// pause stops a process and its children. One that has ended is left alone.
func pause(process *os.Process) { tell(process, syscall.SIGSTOP) }

// resume lets them go on.
func resume(process *os.Process) { tell(process, syscall.SIGCONT) }

func tell(process *os.Process, s syscall.Signal) {
	if process == nil {
		return
	}
	if process.Signal(s) != nil {
		return // it has ended, and waited for its children before
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", process.Pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				_ = syscall.Kill(pid, s) // it may just have ended
			}
		}
	}
}
