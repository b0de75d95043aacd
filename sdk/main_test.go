package sdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The test binary is also the programs that the tests start: an experiment, and a host that is killed.
const (
	envRole        = "SDK_TEST_ROLE"
	roleExperiment = "experiment"
	roleHost       = "host"
)

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case roleExperiment:
		serveCounter()
	case roleHost:
		hostToBeKilled()
	default:
		os.Exit(m.Run())
	}
}

// counterConfig says how the experiment behaves.
type counterConfig struct {
	Steps  int64  `json:"steps"`
	Pause  int64  `json:"pause_us" jsonschema:"microseconds to wait in each step"`
	Points int    `json:"points" jsonschema:"metrics to log in each step"`
	Fault  string `json:"fault" jsonschema:"how to misbehave"`
}

func serveCounter() {
	Serve(Experiment[counterConfig]{
		Name:     "counter",
		Summary:  "Counts to a number.",
		Defaults: counterConfig{Steps: 10, Points: 1},
		Metrics:  map[string]Direction{"count": Max},
		Train:    trainCounter,
	})
}

// counter is the state: how far it has counted, and some ballast.
type counter struct {
	n     uint64
	fault string
}

func (c *counter) Save(to CheckpointWriter) error {
	if c.fault == "save panics" {
		panic("a panic in Save")
	}
	if c.fault == "save fails" {
		return errors.New("the state cannot be read from the accelerator")
	}
	blob, err := to.Create("counter")
	if err != nil {
		return err
	}
	if err := binary.Write(blob, binary.LittleEndian, c.n); err != nil {
		return err
	}
	if c.fault == "saves little" { // so that all of it is on its way before the host has read any
		return nil
	}
	ballast, err := to.Create("zeros")
	if err != nil {
		return err
	}
	if _, err := ballast.Write(make([]byte, 3<<20)); err != nil {
		return fmt.Errorf("no ballast: %v", err) // which hides what kind of error it was
	}
	return nil
}

func (c *counter) Load(from CheckpointReader) error {
	for _, blob := range from.Blobs() {
		content, err := from.Open(blob.Name)
		if err != nil {
			return err
		}
		defer content.Close()
		if blob.Name == "counter" { // and the ballast is not looked at
			if err := binary.Read(content, binary.LittleEndian, &c.n); err != nil {
				return err
			}
		}
	}
	return nil
}

func trainCounter(run *Run, config counterConfig) (Result, error) {
	state := &counter{fault: config.Fault}
	if config.Fault == "has no state" {
		return Result{"count": 1}, nil
	}
	step, err := resume(run, state, config.Fault)
	if err != nil {
		return nil, err
	}
	for step < config.Steps {
		step++
		state.n++
		time.Sleep(time.Duration(config.Pause) * time.Microsecond)
		for i := range config.Points {
			run.Metrics.Scalar(step, "count", float64(i))
		}
		run.Progress(step, config.Steps)
		if config.Fault != "asks Stopped only" && run.ShouldSave(step) {
			if err := run.Save(step); err != nil && config.Fault != "ignores errors" {
				return nil, err
			}
		}
		if err := misbehave(run, config.Fault, step); err != nil {
			return nil, err
		}
		if run.Stopped() {
			return nil, ErrStopped
		}
	}
	touch(run, "counted")
	switch config.Fault {
	case "returns too much":
		result := Result{}
		for i := range 200_000 {
			result[fmt.Sprint(i)] = 1
		}
		return result, nil
	case "returns no name":
		return Result{"": 1}, nil
	}
	return Result{"count": float64(state.n)}, nil
}

func resume(run *Run, state State, fault string) (int64, error) {
	switch fault {
	case "never resumes":
		return 0, nil
	case "never resumes and saves":
		return 0, run.Save(1)
	case "never resumes and stops":
		for !run.Stopped() {
			time.Sleep(time.Millisecond)
		}
		return 0, ErrStopped
	case "ignores errors":
		step, _ := run.Resume(state)
		return step, nil
	default:
		return run.Resume(state)
	}
}

func misbehave(run *Run, fault string, step int64) error {
	switch {
	case fault == "prints":
		fmt.Print(strings.Repeat("x", 200<<10), "\n") // longer than a line of go-plugin's
		fmt.Fprint(os.Stderr, strings.Repeat("y", 200<<10), "\n")
	case step != 5:
	case fault == "panics":
		panic("a panic in Train")
	case fault == "breaks":
		return map[string][]error{}["none"][step]
	case fault == "exits its goroutine":
		runtime.Goexit()
	case fault == "fails":
		return errors.New("the loss is \xff") // and no UTF-8
	case fault == "fails at length":
		return errors.New(strings.Repeat("x", 10_000_000))
	case fault == "panics at length":
		panic(strings.Repeat("x", 10_000_000))
	case fault == "logs too many tags":
		for i := range 12_000 {
			run.Metrics.Scalar(step, fmt.Sprintf("tag/%d", i), 1)
		}
	case fault == "saves and fails":
		return errors.Join(run.Save(step), errors.New("the loss is NaN"))
	case fault == "stops by itself":
		return ErrStopped
	case fault == "logs what is not finite":
		run.Metrics.Scalar(step, "nan", math.NaN())
		run.Metrics.Scalar(step, "inf", math.Inf(-1))
	case fault == "logs under mtt/":
		run.Metrics.Scalar(step, "mtt/loss", 1)
	case fault == "hangs":
		touch(run, "hanging")
		time.Sleep(time.Hour)
	case fault == "waits for its context":
		touch(run, "hanging")
		<-run.Context().Done()
		return run.Context().Err()
	}
	return nil
}

// touch makes a file with the process id, by which a test sees how far the experiment is.
func touch(run *Run, name string) {
	if err := os.WriteFile(filepath.Join(run.OutputDir(), name), fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		panic(err)
	}
}
