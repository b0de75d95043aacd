package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mtt-project/mtt/sdk"
)

// Config is what the tests can set.
type Config struct {
	Steps int64  `json:"steps" jsonschema:"steps to count"`
	Pause int64  `json:"pause_ms" jsonschema:"milliseconds to wait in each step"`
	Note  string `json:"note" jsonschema:"of any length"`
}

func serveExperiment() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "faulty",
		Summary:  "Counts to a number, and misbehaves on the way.",
		Defaults: Config{Steps: 20, Pause: 5},
		Train:    train,
	})
}

// counter is the state: how far it has counted.
type counter struct{ n uint64 }

func (c *counter) Save(to sdk.CheckpointWriter) error {
	if os.Getenv("FAULTY") == "slow" && c.n == 10 {
		if err := saveSlowly(to); err != nil {
			return err
		}
	}
	blob, err := to.Create("counter")
	if err != nil {
		return err
	}
	return binary.Write(blob, binary.LittleEndian, c.n)
}

func (c *counter) Load(from sdk.CheckpointReader) error {
	blob, err := from.Open("counter")
	if err != nil {
		return err
	}
	defer blob.Close()
	return binary.Read(blob, binary.LittleEndian, &c.n)
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	fault := os.Getenv("FAULTY")
	state := new(counter)
	var step int64
	if fault != "ignores-resume" {
		var err error
		if step, err = run.Resume(state); err != nil {
			return nil, err
		}
	}
	if fault == "only-metrics" {
		logOnly(run)
	}
	for step < config.Steps {
		step++
		state.n++
		time.Sleep(time.Duration(config.Pause) * time.Millisecond)
		run.Metrics.Scalar(step, "count", float64(state.n))
		run.Progress(step, config.Steps)
		if fault == "never-saves" {
			continue
		}
		if run.ShouldSave(step) {
			if err := run.Save(step); err != nil {
				return nil, err
			}
		}
		if step == 5 { // a checkpoint that no fault may cost
			if err := checkpoint(run, step); err != nil {
				return nil, err
			}
		}
		if err := misbehave(fault, run, step); err != nil {
			return nil, err
		}
		if run.Stopped() && fault == "fails-at-stop" {
			return nil, errors.New("the experiment's own failure")
		}
		if run.Stopped() && fault != "ignores-stop" {
			return nil, sdk.ErrStopped
		}
	}
	if fault == "result-many" {
		return names(200_000), nil
	}
	return sdk.Result{"count": float64(state.n)}, nil
}

// misbehave does what the fault says, once step 10 is done where the fault names no other.
func misbehave(fault string, run *sdk.Run, step int64) error {
	if fault == "floods" {
		flood(run, step)
	}
	if fault == "error-twice" && run.Attempt() <= 2 && step == int64(10+run.Attempt()) {
		return errors.Join(checkpoint(run, step), errors.New("the experiment's own failure"))
	}
	if step != 10 {
		return nil
	}
	if do, ok := tooMuchOf[fault]; ok {
		return do(run)
	}
	switch fault {
	case "empty-tag":
		run.Metrics.Scalar(step, "", 1)
	case "negative-step":
		run.Metrics.Scalar(-1, "loss", 1)
	case "negative-progress":
		run.Progress(-1, 20)
	case "error":
		return errors.New("the experiment's own failure")
	case "panic":
		var weights []float64
		weights[step] = 1
	case "panic-elsewhere":
		go loadData(30)
		time.Sleep(time.Hour)
	case "exit":
		fmt.Fprintln(os.Stderr, "the data set is gone")
		os.Exit(1)
	case "killed", "killed-once":
		if fault == "killed" || run.Attempt() == 1 {
			return errors.Join(checkpoint(run, step), syscall.Kill(os.Getpid(), syscall.SIGKILL))
		}
	case "ignores-cancel":
		child := exec.Command("sleep", "3600")
		if err := child.Start(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(run.OutputDir(), "child"), fmt.Append(nil, child.Process.Pid), 0o600); err != nil {
			return err
		}
		if err := checkpoint(run, step); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	case "daemon":
		child := exec.Command("sleep", "3600")
		child.Stderr, child.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(run.OutputDir(), "child"), fmt.Append(nil, child.Process.Pid), 0o600)
	case "slow":
		for range 50 {
			fmt.Println("loading")
			time.Sleep(100 * time.Millisecond)
		}
		return run.Save(step)
	case "data":
		path, err := run.Data("numbers")
		if err != nil {
			return err
		}
		list, err := os.ReadFile(filepath.Join(path, "list.txt"))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(run.OutputDir(), "list.txt"), list, 0o600)
	case "environment":
		return os.WriteFile(filepath.Join(run.OutputDir(), "environment.txt"), []byte(strings.Join(os.Environ(), "\n")), 0o600)
	}
	return nil
}

// logOnly never returns.
func logOnly(run *sdk.Run) {
	for step := int64(1); ; step++ {
		run.Metrics.Scalar(step, "count", float64(step))
		if step == 10 {
			run.Metrics.Scalar(step, "", 1)
		}
		time.Sleep(time.Millisecond)
	}
}

// checkpoint makes one that the host has acknowledged when it returns: a save waits for the one before.
func checkpoint(run *sdk.Run, step int64) error {
	if err := run.Save(step); err != nil {
		return err
	}
	return run.Save(step)
}

// saveSlowly writes blobs for 5 s.
func saveSlowly(to sdk.CheckpointWriter) error {
	for i := range 50 {
		blob, err := to.Create(fmt.Sprintf("slow-%d", i))
		if err != nil {
			return err
		}
		if _, err := blob.Write([]byte("slow")); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// loadData panics with a stack so deep that its end alone would hide the cause.
func loadData(depth int) {
	if depth == 0 {
		panic("a data loader's own panic")
	}
	loadData(depth - 1)
}

// flood logs 5,000 points and prints 2 MiB, in each step.
func flood(run *sdk.Run, step int64) {
	for i := range 5000 {
		run.Metrics.Scalar(step, fmt.Sprintf("flood/%d", i%7), float64(i))
	}
	line := strings.Repeat("flood ", 1365) + "\n"
	for range 256 {
		fmt.Print(line)
	}
}
