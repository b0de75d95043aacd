package device

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// gpus are those of this machine.
type gpus struct {
	models []string // of each, if all is well; else at least one
	driver string
}

// root is where the kernel's files are; tests have a tree of their own.
var root = "/"

// hasGPU says whether the kernel shows an NVIDIA GPU.
func hasGPU() bool { return countGPUs() > 0 }

// countGPUs is how many GPUs the kernel, or the container, shows.
func countGPUs() int {
	devices, _ := filepath.Glob(filepath.Join(root, "dev/nvidia[0-9]*"))
	return len(devices)
}

// findGPUs names the GPUs and their driver: from the kernel driver's files, and where a container hides those, from
// nvidia-smi.
func findGPUs() (gpus, error) {
	if !hasGPU() {
		return gpus{}, exit.Errorf(exit.Usage, "there is no NVIDIA GPU here (no /dev/nvidia0)").
			Hint("Train on another device: --device go or --device cpu. In a container, the GPU has to be passed in.")
	}
	found := gpus{models: procModels(), driver: procDriver()}
	if len(found.models) == 0 || found.driver == "" {
		found = askSMI()
	}
	if len(found.models) == 0 {
		return gpus{}, exit.Errorf(exit.Usage, "there is an NVIDIA GPU, and its driver does not answer").
			Hint("Run nvidia-smi: it says what is wrong with the driver.")
	}
	return found, nil
}

var (
	modelLine  = regexp.MustCompile(`(?m)^Model:\s*(.+?)\s*$`)
	driverLine = regexp.MustCompile(`Kernel Module(?: for \S+)?\s+(\d[\d.]+)`)
)

// model is that of the GPUs; of unlike ones, all models and what selects among them.
func (g gpus) model(environment map[string]string) string {
	different := slices.Compact(slices.Sorted(slices.Values(g.models)))
	name, selected := strings.Join(different, ", "), environment["CUDA_VISIBLE_DEVICES"]
	if len(different) > 1 || strings.Contains(selected, "MIG-") { // parts of one GPU may have any size
		name += " (CUDA_VISIBLE_DEVICES " + strings.TrimSpace(selected+" "+environment["CUDA_DEVICE_ORDER"]) + ")"
	}
	return name
}

// visibleGPUs is how many GPUs a process with this environment sees. CUDA reads CUDA_VISIBLE_DEVICES up to the first entry
// that is none.
func visibleGPUs(environment map[string]string) int {
	all := countGPUs()
	selected, isSet := environment["CUDA_VISIBLE_DEVICES"]
	if !isSet {
		return all
	}
	visible := 0
	for entry := range strings.SplitSeq(selected, ",") {
		entry = strings.TrimSpace(entry)
		if index, err := strconv.Atoi(entry); entry == "" || err == nil && (index < 0 || index >= all) {
			break
		}
		visible++
	}
	return visible
}

func procModels() (models []string) {
	files, _ := filepath.Glob(filepath.Join(root, "proc/driver/nvidia/gpus/*/information"))
	for _, file := range files {
		content, _ := os.ReadFile(file)
		if match := modelLine.FindSubmatch(content); match != nil {
			models = append(models, string(match[1]))
		}
	}
	return models
}

func procDriver() string {
	content, _ := os.ReadFile(filepath.Join(root, "proc/driver/nvidia/version"))
	if match := driverLine.FindSubmatch(content); match != nil {
		return string(match[1])
	}
	return ""
}

func askSMI() (found gpus) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // a driver that hangs must not hang us
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").Output()
	if err != nil {
		return gpus{}
	}
	for line := range strings.Lines(string(out)) {
		model, driver, _ := strings.Cut(line, ",")
		found.models, found.driver = append(found.models, strings.TrimSpace(model)), strings.TrimSpace(driver)
	}
	return found
}
