// Command samples is an experiment that keeps the newest three samples in its output directory, and a link to the newest.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mtt-project/mtt/sdk"
)

// Config is what a user can set.
type Config struct {
	Steps int64 `json:"steps"`
	Pause int64 `json:"pause_ms"`
	// Odd has it also make what cannot be kept.
	Odd bool `json:"odd"`
	// Volume is where it makes a file whose name is not UTF-8, past the host; "" for nowhere.
	Volume string `json:"volume"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "samples",
		Version:  "1.0.0",
		Defaults: Config{Steps: 30, Pause: 10},
		Train:    train,
	})
}

func train(run *sdk.Run, config Config) (sdk.Result, error) {
	step, err := run.Resume(empty{})
	if err != nil {
		return nil, err
	}
	if config.Odd {
		if err := makeOdd(run.OutputDir()); err != nil {
			return nil, err
		}
	}
	if config.Volume != "" {
		if err := os.WriteFile(filepath.Join(config.Volume, "files", run.ID(), "caf\xe9"), []byte("x"), 0o644); err != nil {
			return nil, err
		}
	}
	for step < config.Steps {
		step++
		time.Sleep(time.Duration(config.Pause) * time.Millisecond)
		if err := rotate(run.OutputDir(), step); err != nil {
			return nil, err
		}
		run.Progress(step, config.Steps)
		if run.ShouldSave(step) {
			if err := run.Save(step); err != nil {
				return nil, err
			}
		}
		if run.Stopped() {
			return nil, sdk.ErrStopped
		}
	}
	found, err := filepath.Glob(filepath.Join(run.OutputDir(), "samples", "*"))
	return sdk.Result{"samples": float64(len(found))}, err
}

// rotate writes the sample of a step, and removes all but the newest three.
func rotate(dir string, step int64) error {
	name := func(step int64) string { return filepath.Join("samples", fmt.Sprintf("%06d.txt", step)) }
	if err := os.MkdirAll(filepath.Join(dir, "samples"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name(step)), fmt.Append(nil, "sample ", step), 0o644); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(dir, "samples", "*"))
	if err != nil {
		return err
	}
	for _, old := range found { // those of steps that are made again after a resume too
		if base := filepath.Base(old); base < filepath.Base(name(step-2)) || base > filepath.Base(name(step)) {
			if err := os.Remove(old); err != nil {
				return err
			}
		}
	}
	latest := filepath.Join(dir, "latest")
	if err := os.Remove(latest); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(name(step), latest)
}

// makeOdd makes a pipe, links that lead out of the directory, and a file whose name is not UTF-8.
func makeOdd(dir string) error {
	return errors.Join(
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		os.Symlink(os.DevNull, filepath.Join(dir, "absolute")),
		os.Symlink("../outside", filepath.Join(dir, "outside")),
		os.WriteFile(filepath.Join(dir, "caf\xe9"), nil, 0o600),
	)
}

// empty is the state: all that a step depends on is its number.
type empty struct{}

func (empty) Save(to sdk.CheckpointWriter) error {
	blob, err := to.Create("nothing")
	if err != nil {
		return err
	}
	return binary.Write(blob, binary.LittleEndian, uint64(0))
}

func (empty) Load(sdk.CheckpointReader) error { return nil }
