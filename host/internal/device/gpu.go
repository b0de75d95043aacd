package device

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

type gpu struct{ model, driver string }

// root is where the kernel's files are; tests have a tree of their own.
var root = "/"

// hasGPU says whether the kernel shows an NVIDIA GPU.
func hasGPU() bool {
	devices, _ := filepath.Glob(filepath.Join(root, "dev/nvidia[0-9]*"))
	return len(devices) > 0
}

// findGPU names the first GPU and its driver: from the kernel driver's files, and where a container hides those, from
// nvidia-smi.
func findGPU() (gpu, error) {
	if !hasGPU() {
		return gpu{}, exit.Errorf(exit.Usage, "there is no NVIDIA GPU here (no /dev/nvidia0)").
			Hint("Train on another device: --device go or --device cpu. In a container, the GPU has to be passed in.")
	}
	found := gpu{model: procModel(), driver: procDriver()}
	if found.model == "" || found.driver == "" {
		found = askSMI()
	}
	if found.model == "" {
		return gpu{}, exit.Errorf(exit.Usage, "there is an NVIDIA GPU, and its driver does not answer").
			Hint("Run nvidia-smi: it says what is wrong with the driver.")
	}
	return found, nil
}

var (
	modelLine  = regexp.MustCompile(`(?m)^Model:\s*(.+?)\s*$`)
	driverLine = regexp.MustCompile(`Kernel Module(?: for \S+)?\s+(\d[\d.]+)`)
)

func procModel() string {
	files, _ := filepath.Glob(filepath.Join(root, "proc/driver/nvidia/gpus/*/information"))
	for _, file := range files {
		content, _ := os.ReadFile(file)
		if match := modelLine.FindSubmatch(content); match != nil {
			return string(match[1])
		}
	}
	return ""
}

func procDriver() string {
	content, _ := os.ReadFile(filepath.Join(root, "proc/driver/nvidia/version"))
	if match := driverLine.FindSubmatch(content); match != nil {
		return string(match[1])
	}
	return ""
}

func askSMI() gpu {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // a driver that hangs must not hang us
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").Output()
	if err != nil {
		return gpu{}
	}
	line, _, _ := strings.Cut(string(out), "\n")
	model, driver, _ := strings.Cut(line, ",")
	return gpu{strings.TrimSpace(model), strings.TrimSpace(driver)}
}
