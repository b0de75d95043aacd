package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The Python programs travel in the executable.
var (
	//go:embed times.py
	timesPy []byte
	//go:embed jax/steps.py
	stepsPy []byte
)

// open looks for what will be needed, and makes the scratch directory.
func (b *bench) open() (err error) {
	if b.binaries, err = filepath.Abs(b.binaries); err != nil {
		return err
	}
	if _, err := os.Stat(b.binary("mtt-host")); err != nil {
		return fmt.Errorf("%w: run make bench-binaries", err)
	}
	scratch, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	b.scratch = scratch
	return errors.Join(
		os.WriteFile(filepath.Join(scratch, "times.py"), timesPy, 0o644),
		os.WriteFile(filepath.Join(scratch, "steps.py"), stepsPy, 0o644))
}

func (b *bench) close() error {
	if b.scratch == "" {
		return nil
	}
	return os.RemoveAll(b.scratch)
}

func (b *bench) binary(name string) string { return filepath.Join(b.binaries, name) }

// forDevice is the name of the build of train or bare that has a device: pure Go is a build without cgo.
func forDevice(name, device string) string {
	if device == "go" {
		return name
	}
	return name + "-xla"
}

func (b *bench) python(script string, args ...string) (trial, []byte, error) {
	return b.command(nil, cmp.Or(os.Getenv("PYTHON"), "python3"), append([]string{filepath.Join(b.scratch, script)}, args...)...)
}

// trial is one process that has run to its end.
type trial struct {
	started time.Time
	stamps  []stamp
	cpu     cpu
	// accuracy and loss are the result.
	accuracy, loss float64
	run            string // directory of the run, of one under mtt-host
	jax            string // version, of one in JAX
}

// stamp says when a step was done.
type stamp struct {
	Step int64   `json:"step"`
	Time float64 `json:"time"` // seconds since 1970
}

// warm is the step from which on speed is measured.
const warm = 100

// rate is the number of steps per second.
func (t trial) rate() (float64, error) {
	for _, first := range t.stamps {
		if last := t.stamps[len(t.stamps)-1]; first.Step == warm && last.Step > warm {
			return float64(last.Step-first.Step) / (last.Time - first.Time), nil
		}
	}
	return 0, fmt.Errorf("there is no step behind step %d", warm)
}

// untilFirst is the time from the start of the process to the end of its first step, in seconds.
func (t trial) untilFirst() (float64, error) {
	if len(t.stamps) == 0 || t.stamps[0].Step != 1 {
		return 0, errors.New("the first step is not known")
	}
	return t.stamps[0].Time - seconds(t.started), nil
}

// command runs a program to its end, and returns what it printed.
func (b *bench) command(environment []string, name string, args ...string) (trial, []byte, error) {
	return b.watched(nil, environment, name, args...)
}

// watched does the same, and hands the process to started, if that is not nil, as soon as there is one.
func (b *bench) watched(started func(*os.Process), environment []string, name string, args ...string) (trial, []byte, error) {
	command := exec.CommandContext(b.ctx, name, args...)
	command.Env = append(os.Environ(), environment...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	t := trial{started: time.Now()}
	err := command.Start()
	if err == nil {
		if started != nil {
			started(command.Process)
		}
		t.cpu, err = readCPU(command.Process.Pid)
		err = errors.Join(command.Wait(), err)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.Bytes())
	}
	return t, stdout.Bytes(), err
}

// hosted runs a plugin under mtt-host, and reads from the event file when its steps were done: the SDK stamps each
// point in the plugin's process, when it is logged.
func (b *bench) hosted(started func(*os.Process), plugin, device string, args ...string) (trial, error) {
	t, printed, err := b.watched(started, nil, b.binary("mtt-host"), append([]string{
		"run", b.binary(plugin), "--new", "-o", "json", "--outputs", filepath.Join(b.scratch, "outputs"), "--device", device}, args...)...)
	if err != nil {
		return t, err
	}
	var info struct {
		RunID  string `json:"run_id"`
		Result struct{ Accuracy, Loss float64 }
	}
	if err := json.Unmarshal(printed, &info); err != nil {
		return t, fmt.Errorf("what mtt-host printed: %w", err)
	}
	t.accuracy, t.loss = info.Result.Accuracy, info.Result.Loss
	t.run = filepath.Join(b.scratch, "outputs", "runs", info.RunID)
	events, err := filepath.Glob(filepath.Join(t.run, "events.*"))
	if err != nil || len(events) != 1 {
		return t, fmt.Errorf("%s has %d event files, want 1", t.run, len(events))
	}
	_, printed, err = b.python("times.py", events[0], "train/loss")
	if err != nil {
		return t, err
	}
	return t, t.decode(printed)
}

// bare runs the loop of plugins/train without mtt.
func (b *bench) bare(started func(*os.Process), environment []string, device, model string, steps int64) (trial, error) {
	t, printed, err := b.watched(started, environment, b.binary(forDevice("bare", device)),
		"-device", device, "-model", model, "-steps", fmt.Sprint(steps))
	if err != nil {
		return t, err
	}
	return t, t.decode(printed)
}

// decode reads JSON lines: stamps, and perhaps a result or versions, which have no step.
func (t *trial) decode(lines []byte) error {
	for decoder := json.NewDecoder(bytes.NewReader(lines)); decoder.More(); {
		var line struct {
			stamp
			Accuracy, Loss float64
			JAX            string
		}
		if err := decoder.Decode(&line); err != nil {
			return fmt.Errorf("what the program printed: %w", err)
		}
		switch {
		case line.Step > 0:
			t.stamps = append(t.stamps, line.stamp)
		case line.JAX != "":
			t.jax = line.JAX
		default:
			t.accuracy, t.loss = line.Accuracy, line.Loss
		}
	}
	return nil
}
