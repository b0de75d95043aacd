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
	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

// Status is the result of a check.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning" // something that one can do without
	Problem Status = "problem" // something that runs need
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Examine looks at the machine, and at the directory for outputs. It leaves nothing behind.
func Examine(ctx context.Context, outputs, version string) []Check {
	checks := []Check{
		{Name: "mtt-host", Status: OK, Found: fmt.Sprintf("%s, %s, %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)},
		goCompiler(ctx),
		cCompiler(),
	}
	for _, name := range []string{device.Go, device.CPU, device.CUDA} {
		checks = append(checks, deviceCheck(name))
	}
	checks = append(checks, volume(outputs)...)
	return append(checks, tensorBoard(ctx))
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
	found, _, err := device.Choose(name, []string{name}, false)
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
