package main_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What of the machine, its limits and its variables keeps a command from working is named.
var machineCulprits = []promise{
	{"too few open files are a limit, which is named", fewOpenFiles},
	{"open files that run out in the middle of a run cost nothing that was saved", openFilesRunOut},
	{"too few processes are a limit, which is named", fewProcesses},
	{"a plugin that is larger than a file may be is a limit, which is named", smallFiles},
	{"a plugin that is being written is said to be", busyPlugin},
	{"an executable for another platform is said to be, with both platforms", foreignExecutables},
	{"a plugin that cannot start for what is in it or missing is the plugin's fault, and says what", unstartablePlugins},
	{"a plugin from source is built for this machine, whatever the shell builds for", buildsForThisMachine},
	{"what the go command lacks is named", goCommandLacks},
	{"only sockets leave a TMPDIR that is too long for them", longTemporaryDirectory},
}

func TestMachineCulprits(t *testing.T) {
	t.Parallel()
	hold(t, machineCulprits)
}

// limited starts a command under a limit of the shell, such as "-n 12".
func (b *bench) limited(ulimit string, args ...string) *process {
	b.Helper()
	return b.startCommand(exec.Command("/bin/sh", append([]string{"-c", "ulimit " + ulimit + ` && exec "$0" "$@"`, hostPath}, args...)...))
}

// needs skips the test, aloud, where a program is missing that it needs.
func (b *bench) needs(program string) string {
	b.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		b.Fatal(err)
	}
	b.Skipf("SKIPPED: %v", err)
	return ""
}

func fewOpenFiles(b *bench) {
	for _, n := range []string{"8", "12", "20", "31"} {
		for _, args := range [][]string{{"run", pluginPath("walk")}, {"plugin", "describe", pluginPath("walk")}, {"ls"}} {
			r := b.limited("-n "+n, args...).wait()
			b.check(r, 2)
			if !strings.Contains(r.stderr, "ulimit -n is "+n) && n != "8" { // where the Go runtime itself may fail
				b.Errorf("%s open files: %v", n, r)
			}
		}
	}
	b.check(b.limited("-n 64", "run", pluginPath("walk"), "-S", "steps=10").wait(), 0)
}

func openFilesRunOut(b *bench) {
	prlimit := b.needs("prlimit")
	p := b.start(faulty("none", "--name", "r", "-S", "steps=500", "--checkpoint-every", "5")...)
	p.waitFor("saved step ")
	if said, err := exec.Command(prlimit, "--pid", strconv.Itoa(p.cmd.Process.Pid), "--nofile=8:8").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, said)
	}
	b.check(p.wait(), 2, "ulimit -n is 8", "What was saved before is whole", "ulimit -n 1024", "mtt-host resume")
	if shown := b.show("r"); shown.State != "INTERRUPTED" {
		b.Errorf("the run is %+v", shown)
	}
	b.verify("r")
	b.expect(0, []string{"resumed from checkpoint"}, "resume", "r", "--checkpoint-every", "500")
}

// fewProcesses runs as another user, for whom alone the limit holds, and who has no other processes.
func fewProcesses(b *bench) {
	prlimit := b.needs("prlimit")
	if os.Getuid() != 0 {
		b.Skip("SKIPPED, since only root can be another user, and root has no limit of processes")
	}
	dir := filepath.Dir(b.tmp)
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(b.tmp, 0o777)); err != nil {
		b.Fatal(err)
	}
	for _, program := range []string{hostPath, pluginPath("walk")} {
		raw, err := os.ReadFile(program)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(program)), raw, 0o755)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{8, 10, 12, 14, 15} {
		b.outputs = filepath.Join(dir, "outputs"+strconv.Itoa(n))
		command := exec.Command(prlimit, fmt.Sprintf("--nproc=%d", n), filepath.Join(dir, "mtt-host"), "run", filepath.Join(dir, "walk"), "-S", "steps=5")
		r := b.startAs(54321, command).wait()
		if r.code == 0 { // it has got by
			continue
		}
		b.check(r, 2, "ulimit -u")
		if strings.Contains(r.stderr, "is no plugin") {
			b.Errorf("%d processes: %v", n, r)
		}
	}
	if err := os.RemoveAll(filepath.Join(b.tmp, "mtt-54321")); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) startAs(user uint32, command *exec.Cmd) *process {
	b.Helper()
	b.user = user
	defer func() { b.user = 0 }()
	return b.startCommand(command)
}

func smallFiles(b *bench) {
	b.check(b.limited("-f 1", "run", pluginPath("walk")).wait(), 2, "ulimit -f is", "ulimit -f unlimited")
}

func busyPlugin(b *bench) {
	busy := filepath.Join(filepath.Dir(b.tmp), "busy")
	if err := copyExecutable(pluginPath("walk"), busy); err != nil {
		b.Fatal(err)
	}
	writing, err := os.OpenFile(busy, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer writing.Close()
	b.expect(2, []string{"another process is writing it"}, "plugin", "describe", busy)
}

func foreignExecutables(b *bench) {
	here := runtime.GOOS + "/" + runtime.GOARCH
	elf, err := os.ReadFile(pluginPath("walk"))
	if err != nil {
		b.Fatal(err)
	}
	machine := func(m uint16) string {
		foreign := bytes.Clone(elf)
		binary.LittleEndian.PutUint16(foreign[18:], m) // e_machine
		return string(foreign)
	}
	macho := func(cpu uint32) string {
		var header [32]byte
		for i, word := range []uint32{0xfeedfacf, cpu, 0, 2} { // magic, processor, its kind, an executable
			binary.LittleEndian.PutUint32(header[4*i:], word)
		}
		return string(header[:])
	}
	for platform, content := range map[string]string{
		"linux/arm64":   machine(183),
		"linux/riscv64": machine(243),
		"darwin/arm64":  macho(0x0100000c),
		"darwin/amd64":  macho(0x01000007),
	} {
		path := filepath.Join(filepath.Dir(b.tmp), strings.ReplaceAll(platform, "/", "-"))
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			b.Fatal(err)
		}
		words := []string{"is no plugin for this machine", platform, here, "go build"}
		b.expect(70, words, "run", path)
		b.expect(70, words, "plugin", "describe", path)
	}
}

func unstartablePlugins(b *bench) {
	walk, err := os.ReadFile(pluginPath("walk"))
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		words   []string
	}{
		"half":           {string(walk[:len(walk)/2]), 0o755, []string{"cut off or damaged"}},
		"last-page":      {string(walk[:4096]), 0o755, []string{"cut off or damaged"}},
		"header":         {string(walk[:40]), 0o755, []string{"cut off or damaged"}},
		"empty":          {"", 0o755, []string{"neither an executable nor a script"}},
		"text":           {"some text\n", 0o755, []string{"neither an executable nor a script"}},
		"crlf":           {"#!/bin/sh\r\nexit 0\r\n", 0o755, []string{"CR LF", `"/bin/sh\r"`, `tr -d '\r'`}},
		"crlf-env":       {"#!/usr/bin/env sh\r\nexit 0\r\n", 0o755, []string{"CR LF"}},
		"no-interpreter": {"#!/no/such -x\n", 0o755, []string{`interpreter, "/no/such", does not exist`}},
		"not-executable": {string(walk), 0o644, []string{"not an executable file", "chmod +x"}},
		"script":         {"#!/bin/sh\n", 0o600, []string{"not an executable file", "chmod +x"}},
	} {
		path := filepath.Join(filepath.Dir(b.tmp), name)
		if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
			b.Fatal(err)
		}
		b.expect(70, c.words, "run", path)
		b.expect(70, c.words, "plugin", "describe", path)
	}
	r := b.run("run", filepath.Join(filepath.Dir(b.tmp), "not-executable"))
	_, command, _ := strings.Cut(r.stderr, ": chmod")
	if said, err := exec.Command("/bin/sh", "-c", "chmod"+command).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, said)
	}
	b.expect(0, nil, "run", filepath.Join(filepath.Dir(b.tmp), "not-executable"), "-S", "steps=5")
	library := b.dir("library")
	b.writeAs(filepath.Join(library, "go.mod"), "module m\n", 0o600)
	b.writeAs(filepath.Join(library, "m.go"), "package m\n", 0o600)
	b.expect(2, []string{"is not a main package", "func main"}, "run", library)
	b.expect(2, []string{"does not build", "A plugin is a directory with a Go main package"}, "run", b.dir("nothing"))
}

func buildsForThisMachine(b *bench) {
	source, err := filepath.Abs(programs["walk"].dir)
	if err != nil {
		b.Fatal(err)
	}
	digest := func(env ...string) string {
		b.env = append([]string{"CGO_ENABLED=0"}, env...)
		return decode[struct{ SHA256 string }](b, b.expect(0, nil, "plugin", "describe", source, "-o", "json").stdout).SHA256
	}
	ours := digest()
	for _, env := range [][]string{
		{"GOOS=windows", "GOARCH=386", "CC=/no/such/cc", "CGO_CFLAGS=-nonsense"},
		{"GOARCH=arm64", "GOFLAGS=-buildmode=c-archive -trimpath=false -buildvcs=true"},
	} {
		if got := digest(env...); got != ours {
			b.Errorf("with %v, it is built as %s, want %s", env, got, ours)
		}
	}
	b.env = []string{"GOFLAGS=-n"}
	b.expect(2, []string{"the go command has made nothing", "go env GOFLAGS"}, "run", source, "-S", "steps=5")
	b.env = nil
	m := newModalBench(b.T)
	m.env = append(m.env, "GOARCH=arm64", "GOOS=darwin", "CGO_ENABLED=0", "GOCACHE="+goEnv("GOCACHE"))
	if got := decode[struct {
		SHA string `json:"plugin_sha256"`
	}](b, m.expect(0, nil, "run", source, "--dry-run", "-o", "json").stdout).SHA; got != ours {
		b.Errorf("for Modal it is built as %s, want %s", got, ours)
	}
}

func goCommandLacks(b *bench) {
	source, err := filepath.Abs(programs["walk"].dir)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(b.tmp), "file")
	b.writeAs(file, "", 0o600)
	for _, c := range []struct{ env, words []string }{
		{[]string{"HOME=", "GOCACHE=", "GOMODCACHE=", "GOPATH=", "XDG_CACHE_HOME="}, []string{"nowhere to keep", "set HOME", "GOCACHE and GOMODCACHE"}},
		{[]string{"HOME=", "GOMODCACHE=", "GOPATH="}, []string{"set HOME, or GOMODCACHE,"}},
		{[]string{"HOME=", "GOCACHE=", "XDG_CACHE_HOME="}, []string{"set HOME, or GOCACHE,"}},
		{[]string{"HOME=" + file, "GOCACHE=", "XDG_CACHE_HOME="}, []string{"cannot write " + file, "set HOME, or GOCACHE,"}},
		{[]string{"GOCACHE=" + file}, []string{"cannot write " + file, "GOCACHE"}},
	} {
		b.env = c.env
		r := b.expect(2, append(c.words, "does not build"), "run", source)
		if strings.Contains(r.stderr, "A plugin is a directory with") {
			b.Errorf("with %v, the directory is blamed: %v", c.env, r)
		}
	}
	b.env = []string{"PATH=/nowhere"}
	b.expect(2, []string{"there is no go command on PATH"}, "run", source)
	b.env = nil
	m := newModalBench(b.T)
	for _, home := range []string{"", file} {
		m.env = append(m.env, "HOME="+home, "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=/nowhere")
		m.expect(2, []string{"cache directory", "Set HOME, or XDG_CACHE_HOME"}, "run", pluginPath("walk"), "--dry-run")
	}
}

func longTemporaryDirectory(b *bench) {
	b.tmp = filepath.Join(filepath.Dir(b.tmp), "t", strings.Repeat("long", 20))
	if err := os.Mkdir(b.tmp, 0o700); err != nil {
		b.Fatal(err)
	}
	b.expect(0, nil, faulty("environment", "--name", "r")...)
	environment := strings.Split(b.read("files", "r", "environment.txt"), "\n")
	value := func(name string) string {
		i := slices.IndexFunc(environment, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if i < 0 {
			b.Fatalf("the plugin has no %s", name)
		}
		return environment[i][len(name)+1:]
	}
	if !strings.HasPrefix(value("TMPDIR"), b.tmp) {
		b.Errorf("the plugin's TMPDIR is %s, and TMPDIR is %s", value("TMPDIR"), b.tmp)
	}
	sockets := value("PLUGIN_UNIX_SOCKET_DIR")
	if exists(filepath.Dir(sockets)) && exists(sockets) {
		b.Errorf("%s is left", sockets)
	}

	p := b.start(faulty("none", "--name", "killed", "-S", "steps=100000")...)
	p.waitFor("saved step 5 ")
	plugin := strconv.Itoa(b.pluginPID("killed", 1))
	if dir, err := os.Readlink("/proc/" + plugin + "/cwd"); err != nil || !strings.HasPrefix(dir, b.tmp) {
		b.Errorf("the plugin works in %s, %v; and TMPDIR is %s", dir, err, b.tmp)
	}
	raw, err := os.ReadFile("/proc/" + plugin + "/environ")
	if err != nil {
		b.Fatal(err)
	}
	environment = strings.Split(string(raw), "\x00")
	sockets = value("PLUGIN_UNIX_SOCKET_DIR")
	if len(sockets) > 60 {
		b.Errorf("%s is no short path", sockets)
	}
	p.kill()
	b.eventually("the plugin has left", func() bool { return syscall.Kill(b.pluginPID("killed", 1), 0) != nil })
	b.expect(0, nil, "ls")
	if exists(sockets) {
		b.Errorf("%s is left after the next command", sockets)
	}
}
