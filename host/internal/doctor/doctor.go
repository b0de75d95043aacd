// Package doctor looks at what mtt needs of a machine, and says for each problem what to do about it.
package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// Status is the result of a check.
type Status string

const (
	OK      Status = "ok"
	Note    Status = "note"    // something to know; nothing has to be done
	Warning Status = "warning" // something that one can do without, or that costs
	Problem Status = "problem" // something that runs need
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
	// Code is the exit code that a run would end with for want of it; 0 where there is none of its own.
	Code exit.Code `json:"-"`
}

// Code is the exit code for what was found: that of the problems if it is the same for all, else that of a machine on
// which something has to be done.
func Code(checks []Check) exit.Code {
	code := exit.OK
	for _, check := range checks {
		if check.Status != Problem {
			continue
		}
		own := check.Code
		if own == exit.OK {
			own = exit.Usage
		}
		if code != exit.OK && code != own {
			return exit.Usage
		}
		code = own
	}
	return code
}

// Examine looks at the machine, and at the directory for outputs. It leaves nothing behind.
func Examine(ctx context.Context, outputs, version string) []Check {
	checks := builders(ctx, version)
	for _, name := range []string{device.Go, device.CPU, device.CUDA} {
		checks = append(checks, deviceCheck(name))
	}
	checks = append(checks, volume(outputs)...)
	return append(checks, tensorBoard(ctx))
}

// ExamineForElsewhere looks at what a machine needs whose runs are lived on another one, and are only mirrored, in cache.
func ExamineForElsewhere(ctx context.Context, cache, version string) []Check {
	check := Check{Name: "cache", Status: OK, Found: cache}
	if dir, err := os.MkdirTemp(existing(cache), ".mtt-doctor-"); err != nil {
		check.Status, check.Found = Problem, fmt.Sprintf("%s cannot be written: %v", cache, err)
		check.Remedy = "Name another directory in XDG_CACHE_HOME: what is read of the runs is kept there."
	} else {
		os.RemoveAll(dir)
	}
	return append(builders(ctx, version), check, tensorBoard(ctx))
}

// builders are this program, and those that plugins are built with.
func builders(ctx context.Context, version string) []Check {
	return []Check{
		{Name: "mtt-host", Status: OK, Found: fmt.Sprintf("%s, %s, %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)},
		goCompiler(ctx),
		cCompiler(),
	}
}

// patience is what a program gets to tell its version.
const patience = 30 * time.Second

func goCompiler(ctx context.Context) Check {
	check := Check{Name: "go", Status: Warning, Remedy: "Install Go to build plugins from their source; one that is built already runs without it."}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "version").Output()
	if err != nil {
		check.Found = "not found"
		return check
	}
	return Check{Name: "go", Status: OK, Found: strings.TrimPrefix(strings.TrimSpace(string(out)), "go version ")}
}

func cCompiler() Check {
	for _, name := range []string{os.Getenv("CC"), "gcc", "clang", "cc"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return Check{Name: "c compiler", Status: OK, Found: path}
		}
	}
	return Check{Name: "c compiler", Status: Warning, Found: "not found", Remedy: "Install gcc to build plugins with XLA (cgo); pure Go needs none."}
}

func deviceCheck(name string) Check {
	check := Check{Name: "device " + name, Status: OK}
	found, _, err := device.Choose(name, []string{name}, plugin.Environment(os.Environ()), false)
	if err != nil {
		check.Status, check.Found = Warning, err.Error()
		if known, ok := err.(*exit.Error); ok {
			check.Remedy = known.Next
		}
		return check
	}
	check.Found = found.String()
	if found.PJRT != "" {
		check.Found += ": " + found.PJRT
	}
	return check
}

func tensorBoard(ctx context.Context) Check {
	if path, ok := tensorboard.Find(); ok {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if out, err := exec.CommandContext(ctx, path, "--version_tb").Output(); err == nil {
			return Check{Name: "tensorboard", Status: OK, Found: strings.TrimSpace(string(out)) + ", " + path}
		}
	}
	return Check{
		Name: "tensorboard", Status: Warning, Found: "not found",
		Remedy: "Curves are written without it. To see them: pip install tensorboard, or name one in MTT_TENSORBOARD.",
	}
}
