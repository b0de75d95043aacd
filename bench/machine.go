package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is what the figures are of.
type machine struct {
	processor, gpu string
	versions       []string // of what was measured, each once
	jax            string   // empty where it was not compared with
}

func (m machine) String() string {
	text := fmt.Sprintf("%s, %d cores of %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), m.processor)
	if m.gpu != "" {
		text += ", " + m.gpu
	}
	versions := m.versions
	if m.jax != "" {
		versions = append(versions, "JAX "+m.jax)
	}
	return text + ".\n" + strings.Join(versions, ", ") + ".\n"
}

func (m *machine) uses(version string) {
	for _, known := range m.versions {
		if known == version {
			return
		}
	}
	m.versions = append(m.versions, version)
}

// prepare runs one step of plugins/train on a device, so that the plugin is installed, and its files are in memory. It
// returns the environment in which the bare loop finds what the host gave the plugin.
func (b *bench) prepare(device string) ([]string, error) {
	t, err := b.hosted(nil, forDevice("train", device), device, "-S", "steps=1")
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(t.run, "attempts", "1", "start.json"))
	if err != nil {
		return nil, err
	}
	var start struct {
		Driver, PJRT string
		Exactness    struct {
			Model string `json:"device_model"`
			Flags string `json:"xla_flags"`
		}
	}
	if err := json.Unmarshal(raw, &start); err != nil {
		return nil, fmt.Errorf("start.json of %s: %w", t.run, err)
	}
	if device == "cuda" {
		b.machine.gpu = fmt.Sprintf("one %s (driver %s)", start.Exactness.Model, start.Driver)
	}
	if b.machine.processor == "" {
		b.machine.processor = processor()
	}
	if err := b.builtWith(); err != nil {
		return nil, err
	}
	if device == "go" {
		return []string{"GOMLX_BACKEND=go", "GOMLX_NO_AUTO_INSTALL=1"}, nil
	}
	return b.xla(device, start.PJRT, start.Exactness.Flags)
}

// xla is the environment for a device of XLA, as the host makes it: GoMLX wants a directory with the PJRT plugin by a
// name of its own, and the dynamic linker wants the libraries of NVIDIA's wheels, which are in the same site directory.
func (b *bench) xla(device, pjrt, flags string) ([]string, error) {
	links := filepath.Join(b.scratch, "pjrt-"+device)
	if err := os.MkdirAll(links, 0o755); err != nil {
		return nil, err
	}
	link := filepath.Join(links, "pjrt_c_api_"+device+"_plugin.so")
	if err := os.Symlink(pjrt, link); err != nil && !os.IsExist(err) {
		return nil, err
	}
	site := filepath.Dir(filepath.Dir(filepath.Dir(pjrt))) // site/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so
	wheels, _ := filepath.Glob(filepath.Join(site, "*pjrt*.dist-info"))
	for _, wheel := range wheels {
		b.machine.uses(strings.Replace(strings.TrimSuffix(filepath.Base(wheel), ".dist-info"), "-", " ", 1))
	}
	var libraries []string
	for _, pattern := range []string{"nvidia/*/lib", "nvidia/*/*/lib"} {
		found, _ := filepath.Glob(filepath.Join(site, pattern))
		libraries = append(libraries, found...)
	}
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		libraries = append(libraries, path)
	}
	environment := []string{
		"GOMLX_BACKEND=xla:" + device, "GOMLX_NO_AUTO_INSTALL=1", "GOPJRT_CUDA_CHECKS=0",
		"PJRT_PLUGIN_LIBRARY_PATH=" + links, "XLA_FLAGS=" + flags,
	}
	if len(libraries) > 0 {
		environment = append(environment, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	return environment, nil
}

// builtWith notes the versions that the programs were built with.
func (b *bench) builtWith() error {
	_, version, err := b.command(nil, b.binary("mtt-host"), "version")
	if err != nil {
		return err
	}
	b.machine.uses(strings.TrimSpace(string(version)))
	info, err := buildinfo.ReadFile(b.binary("bare-xla"))
	if err != nil {
		return err
	}
	for _, dependency := range info.Deps {
		switch dependency.Path {
		case "github.com/gomlx/gomlx":
			b.machine.uses("GoMLX " + dependency.Version)
		case "github.com/gomlx/go-xla":
			b.machine.uses("go-xla " + dependency.Version)
		}
	}
	return nil
}

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unnamed " + runtime.GOARCH + " processor"
}
