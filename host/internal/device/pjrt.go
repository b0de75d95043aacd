package device

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/digest"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// A site directory holds unpacked wheels. wheelPaths are where those of each device have their PJRT plugin.
var wheelPaths = map[string][]string{
	CPU:  {"xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"},
	CUDA: {"jax_plugins/xla_cuda13/xla_cuda_plugin.so", "jax_plugins/xla_cuda12/xla_cuda_plugin.so"},
}

// Site is mtt's own site directory, which `doctor --install` fills: MTT_SITE, or mtt/site in the user's data
// directory.
func Site() string {
	if dir := os.Getenv("MTT_SITE"); dir != "" {
		return dir
	}
	data := os.Getenv("XDG_DATA_HOME")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "mtt", "site")
}

// errNoPJRT says that XLA is not installed, which is no fault.
var errNoPJRT = errors.New("there is no PJRT plugin of XLA here")

// withPJRT adds the PJRT plugin to a device: one named as GoMLX wants it, from PJRT_PLUGIN_LIBRARY_PATH or
// ~/.local/lib/go-xla, or one of a wheel, from mtt's own site directory or Python's.
func withPJRT(d Device, environment map[string]string) (Device, error) {
	path, libraries := findPJRT(d.Name, environment)
	if path == "" {
		install := "xla-cpu"
		if d.Name == CUDA {
			install = "cuda"
		}
		return Device{}, exit.Errorf(exit.Usage, "%w for device %q", errNoPJRT, d.Name).
			Hint("Get one: mtt-host doctor --install %s. Or name the directory of one in PJRT_PLUGIN_LIBRARY_PATH.", install)
	}
	// A damaged library would end the plugin's process without a word that helps.
	library, err := elf.Open(path)
	if err != nil {
		return Device{}, exit.Errorf(exit.Usage, "the PJRT plugin %s is no shared library: %w", path, err).
			Hint("Remove it, or get another: mtt-host doctor --install")
	}
	symbols, err := library.DynamicSymbols()
	library.Close()
	if err != nil || !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "GetPjrtApi" }) {
		return Device{}, exit.Errorf(exit.Usage, "%s is no PJRT plugin: it has no GetPjrtApi", path).
			Hint("Remove it, or get another: mtt-host doctor --install")
	}
	sum, err := digest.File(path)
	if err != nil {
		return Device{}, exit.Errorf(exit.Usage, "cannot read the PJRT plugin: %w", err)
	}
	d.PJRT, d.PJRTSHA256, d.libraries = path, sum, libraries
	return d, nil
}

func findPJRT(name string, environment map[string]string) (path string, libraries []string) {
	for _, dir := range namedDirectories(environment) {
		if path := filepath.Join(dir, "pjrt_c_api_"+name+"_plugin.so"); isFile(path) {
			return path, nvidiaLibraries(siteDirectories())
		}
	}
	for _, site := range siteDirectories() {
		for _, wheel := range wheelPaths[name] {
			if path := filepath.Join(site, wheel); isFile(path) {
				return path, nvidiaLibraries([]string{site})
			}
		}
	}
	return "", nil
}

func namedDirectories(environment map[string]string) []string {
	directories := filepathList(environment["PJRT_PLUGIN_LIBRARY_PATH"])
	if home, err := os.UserHomeDir(); err == nil {
		directories = append(directories, filepath.Join(home, ".local", "lib", "go-xla"))
	}
	return directories
}

// siteDirectories are mtt's own and those of the python3 on PATH.
func siteDirectories() []string { return slices.Compact(append([]string{Site()}, pythonSites()...)) }

var pythonSites = sync.OnceValue(func() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "-c", "import sysconfig; print(sysconfig.get_path('purelib')); print(sysconfig.get_path('platlib'))").Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
})

// nvidiaLibraries are the directories of NVIDIA's wheels that hold shared libraries.
func nvidiaLibraries(sites []string) (directories []string) {
	for _, site := range sites {
		for _, pattern := range []string{"nvidia/*/lib", "nvidia/*/*/lib"} {
			found, _ := filepath.Glob(filepath.Join(site, pattern))
			directories = append(directories, found...)
		}
	}
	return directories
}

func filepathList(text string) (paths []string) {
	for _, path := range filepath.SplitList(text) {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
