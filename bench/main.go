// Command bench measures what mtt costs, and writes the figures into docs/benchmarks.md, which says what is measured
// and how. It drives programs that were built before (make bench), so it runs on a machine without Go as well.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	devices := flag.String("devices", "go,cpu", "devices to train on: go, cpu (XLA), cuda; empty: none")
	onModal := flag.Bool("modal", true, "measure against the stand-in for Modal; MTT_MODAL names Modal's command line")
	bounded := flag.Bool("bounds", true, "measure what a plugin without measure costs")
	resumed := flag.Bool("curves", true, "measure what the curves of a run cost that is killed and resumed")
	binaries := flag.String("binaries", "bin/bench", "directory of the programs that `make bench-binaries` builds")
	document := flag.String("doc", "docs/benchmarks.md", "document whose section is written; empty: only print it")
	withJAX := flag.Bool("jax", false, "compare with JAX on the XLA devices; $PYTHON, or python3, has to have it")
	pairs := flag.Int("pairs", 7, "number of times that each two programs are run in turn")
	seconds := flag.Float64("seconds", 4, "how long a program trains in one measurement of speed, about")
	cadence := flag.String("checkpoint-every", "5s", "cadence of the checkpoints in measurements of speed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx, binaries: *binaries, pairs: *pairs, seconds: *seconds, cadence: *cadence}
	err := b.open()
	if err == nil && *devices != "" {
		section := "without a GPU"
		if strings.Contains(*devices, "cuda") {
			section = "with a GPU"
		}
		err = errors.Join(b.run(strings.Split(*devices, ","), *withJAX), b.write(*document, section))
	}
	if err == nil && *onModal && !strings.Contains(*devices, "cuda") {
		b.rows, b.machine = nil, machine{}
		err = errors.Join(b.modal(), b.write(*document, "against Modal's stand-in"))
	}
	if err == nil && *bounded && !strings.Contains(*devices, "cuda") {
		b.rows, b.machine = nil, machine{}
		err = errors.Join(b.bounds(), b.write(*document, "bounds"))
	}
	if err == nil && *resumed && !strings.Contains(*devices, "cuda") {
		b.rows, b.machine = nil, machine{}
		err = errors.Join(b.curves(), b.write(*document, "curves"))
	}
	err = errors.Join(err, b.close())
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// bench is one run of the benchmark.
type bench struct {
	ctx      context.Context
	binaries string  // absolute after open
	scratch  string  // outputs of the runs, and the Python programs
	pairs    int     // repetitions of each pair of programs
	seconds  float64 // that one measurement of speed takes
	cadence  string  // of checkpoints, as mtt-host takes it
	rows     []row
	machine  machine
}

// run measures everything that the devices allow.
func (b *bench) run(devices []string, withJAX bool) error {
	for _, device := range devices {
		models := []string{"mlp", "cnn"}
		if device == "go" {
			models = models[:1] // a convolution takes a second in pure Go
		}
		for _, model := range models {
			if err := b.speed(device, model); err != nil {
				return fmt.Errorf("the speed of the %s on %s: %w", model, device, err)
			}
		}
		if withJAX && device != "go" {
			if err := b.jax(device); err != nil {
				return fmt.Errorf("against JAX on %s: %w", device, err)
			}
		}
	}
	if slices.Contains(devices, "go") {
		if err := b.start(); err != nil {
			return fmt.Errorf("the time to the first step: %w", err)
		}
		if err := b.version(); err != nil {
			return fmt.Errorf("the time of mtt-host version: %w", err)
		}
	}
	return nil
}

// write prints the section of this machine, and puts it into the document.
func (b *bench) write(document, name string) error {
	if len(b.rows) == 0 { // it went wrong
		return nil
	}
	section := b.machine.String() + "\n" + table(b.rows)
	fmt.Print(section)
	if document == "" {
		return nil
	}
	old, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	updated, err := replaceSection(string(old), name, section)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	if bytes.Equal(old, []byte(updated)) {
		return nil
	}
	return os.WriteFile(document, []byte(updated), 0o644)
}

// say prints progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
