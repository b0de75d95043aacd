package doctor

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// What can be installed: wheels by name, each with its version and the digests that it may have.
var (
	//go:embed xla-cpu.txt
	xlaCPU string
	//go:embed cuda.txt
	cuda string

	components = map[string]string{"xla-cpu": xlaCPU, "cuda": cuda}
)

// Requirements are the wheels of a component, each with its version and digests as pip reads them from a line.
func Requirements(name string) (requirements []string) {
	for line := range strings.Lines(strings.ReplaceAll(components[name], "\\\n", " ")) {
		if fields := strings.Fields(line); len(fields) > 0 {
			requirements = append(requirements, strings.Join(fields, " "))
		}
	}
	return requirements
}

// Install has pip fetch the wheels of a component, check their digests, and unpack them into mtt's own site directory,
// in the layout in which pip unpacks them anywhere else. What pip says goes to said.
func Install(ctx context.Context, name string, said io.Writer) error {
	requirements, ok := components[name]
	if !ok {
		return exit.Errorf(exit.Usage, "nothing called %q can be installed: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(components)), ", "))
	}
	site := device.Site()
	if site == "" {
		return exit.Errorf(exit.Usage, "there is no home directory to install into").Hint("Name a directory in MTT_SITE.")
	}
	if err := os.MkdirAll(site, 0o755); err != nil {
		return exit.Errorf(exit.Usage, "cannot install: %w", err).Hint("Name another directory in MTT_SITE.")
	}
	// Beside the target, so that what is fetched is there whole or not at all, and on the same disk.
	staging, err := os.MkdirTemp(filepath.Dir(site), ".install-")
	if err != nil {
		return exit.Errorf(exit.Usage, "cannot install: %w", err).Hint("Name another directory in MTT_SITE.")
	}
	defer os.RemoveAll(staging)
	list := filepath.Join(staging, "requirements.txt")
	if err := os.WriteFile(list, []byte(requirements), 0o600); err != nil {
		return err
	}
	unpacked := filepath.Join(staging, "site")
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--no-compile", "--target", unpacked, "-r", list)
	pip.Stdout, pip.Stderr = said, said
	if err := pip.Run(); err != nil {
		return exit.Errorf(exit.Usage, "pip could not install %s: %w", name, err).
			Hint("What it said stands above. It needs Python 3 with pip, a network, and a system that the wheels are made for (Linux).")
	}
	return move(unpacked, site)
}

// move puts the packages of a site directory into another, each in the place of the one that is there.
func move(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		if entry.Name() == "nvidia" && entry.IsDir() { // a namespace of many packages
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			if err := move(source, target); err != nil {
				return err
			}
			continue
		}
		if err := os.RemoveAll(target); err != nil {
			return err
		}
		if err := os.Rename(source, target); err != nil {
			return fmt.Errorf("cannot install %s: %w", entry.Name(), err)
		}
	}
	return nil
}
