package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// buildFor compiles a program, for a platform.
func buildFor(t *testing.T, name, source string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	command := exec.Command("go", "build", "-o", path, ".")
	command.Dir = dir
	command.Env = append(os.Environ(), append([]string{"GOWORK=off"}, env...)...)
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return path
}

const pure = "package main\nfunc main() {}\n"

func TestInspectSaysWhatAnExecutableNeeds(t *testing.T) {
	static := buildFor(t, "static", pure, "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	b, err := Inspect(static)
	if err != nil || b.Interpreter != "" || b.Glibc != "" {
		t.Errorf("a static one: %+v, %v", b, err)
	}
	for _, image := range []string{"alpine:3.21", "ubuntu:20.04", "whatever"} {
		if unsure, err := RunsIn(b, static, image); err != nil || unsure != "" {
			t.Errorf("a static one in %s: %v, %s", image, err, unsure)
		}
	}
	if out, _ := exec.Command("go", "env", "CGO_ENABLED", "GOHOSTOS", "GOHOSTARCH").Output(); string(out) != "1\nlinux\namd64\n" {
		t.Skip("no cgo for linux/amd64 here")
	}
	dynamic := buildFor(t, "dynamic", "package main\n// #include <stdlib.h>\nimport \"C\"\nfunc main() { C.free(C.malloc(1)) }\n", "CGO_ENABLED=1")
	b, err = Inspect(dynamic)
	if err != nil || !strings.Contains(b.Interpreter, "ld-linux") || !strings.HasPrefix(b.Glibc, "2.") {
		t.Fatalf("a dynamic one: %+v, %v", b, err)
	}
	if _, err := RunsIn(b, dynamic, "python:3.13-alpine"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "musl") {
		t.Errorf("a dynamic one in Alpine: %v", err)
	}
	b.Glibc = "2.38"
	for image, fits := range map[string]bool{
		"python:3.13-slim-trixie": true, "python:3.13-slim-bookworm": false, "ubuntu:22.04": false, "ubuntu:24.04": true,
		"nvcr.io/nvidia/cuda:13.0.0-runtime-ubuntu24.04": true, "example.com/own:latest": true, "debian:12-slim": false,
	} {
		unsure, err := RunsIn(b, dynamic, image)
		if (err == nil) != fits {
			t.Errorf("glibc 2.38 in %s: %v", image, err)
		}
		if known := image != "example.com/own:latest"; (unsure == "") != known {
			t.Errorf("%s is known: %v, and what is unsure is %q", image, known, unsure)
		}
		if err != nil && !strings.Contains(err.Error(), "2.38") {
			t.Errorf("it does not name the version: %v", err)
		}
	}
}

func TestInspectRefusesWhatModalCannotRun(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, word := range map[string]string{
		buildFor(t, "arm", pure, "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"): "linux/arm64",
		buildFor(t, "mac", pure, "GOOS=darwin", "GOARCH=arm64"):                 "darwin/arm64",
		buildFor(t, "bsd", pure, "GOOS=freebsd", "GOARCH=amd64"):                "freebsd/amd64",
		script: "script",
	} {
		if _, err := Inspect(path); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want exit code 2 and %q", path, err, word)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"2.9", "2.34", true}, {"2.34", "2.9", false}, {"2.34", "2.34", false}, {"", "2.2.5", true}, {"2.2.5", "2.3", true}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("older(%q, %q) is %v", c.a, c.b, got)
		}
	}
}

func TestCrossBuild(t *testing.T) {
	dir := filepath.Dir(buildFor(t, "native", pure)) // has the source too
	executable, err := install(t.Context(), Source{Path: dir, Directory: true}, t.TempDir(), []string{"GOWORK=off", "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(executable.Path); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("a build for arm64: %v", err)
	}
}
