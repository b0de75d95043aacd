package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What fails names what is to blame, and what can be done about it.
var culprits = []promise{
	{"a value beyond the limits of its type is the user's, and no run is made", valuesBeyondTheirTypes},
	{"a value at the limit of its type arrives to the last digit", valuesAtTheirLimits},
	{"a configuration that a plugin does not take is the user's", refusedConfiguration},
	{"tests that signals end pass where the shell that starts them ignores signals", testsSetTheirSignals},
	{"a stdout that cannot be written is an error of every command", func(b *bench) {
		b.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-S", "steps=10")
		b.expect(3, nil, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=error")
		for _, args := range [][]string{
			{"run", pluginPath("walk"), "--name", "text", "-S", "steps=10"},
			{"run", pluginPath("walk"), "--name", "json", "-S", "steps=10", "-o", "json"},
			{"run", pluginPath("walk"), "--name", "detached", "-S", "steps=10", "-d"},
			{"run", pluginPath("walk"), "--name", "r", "-S", "steps=10"},
			{"run", pluginPath("walk"), "--dry-run"},
			{"resume", "r"}, {"attach", "r"}, {"wait", "r"}, {"stop", "r"}, {"logs", "r"}, {"logs", "r", "-o", "json"},
			{"ls"}, {"ls", "-o", "json"}, {"show", "r"}, {"checkpoints", "ls", "r"}, {"checkpoints", "verify", "r", "-o", "json"},
			{"volume", "ls", b.outputs}, {"volume", "get", b.outputs, "runs/r/run.json", "-"}, {"plugin", "describe", pluginPath("walk")},
			{"version"}, {"--help"}, {"completion", "bash"},
		} {
			b.check(b.startFull(args...).wait(), 2, "stdout cannot be written: ", "no space left on device")
		}
		b.check(b.startFull("run", pluginPath("faulty"), "--name", "worse", "--env-var", "FAULTY=error", "-o", "json").wait(), 3, "stdout cannot be written: ", "the experiment's own failure")
		b.check(b.startFull("show", "nosuch").wait(), 5)
	}},
	{"a compiler that is killed is said to be, and by which signal", func(b *bench) {
		for signal, word := range map[string]string{"KILL": "killed by signal 9 (killed)", "TERM": "killed by signal 15 (terminated)"} {
			killed := b.dir("killed-" + signal)
			b.writeAs(filepath.Join(killed, "go"), "#!/bin/sh\necho some package >&2\nkill -"+signal+" $$\n", 0o755)
			b.env = []string{"PATH=" + killed + ":" + os.Getenv("PATH")}
			source, err := filepath.Abs(programs["walk"].dir)
			if err != nil {
				b.Fatal(err)
			}
			b.expect(2, []string{source + " was not built", word, "some package"}, "run", source)
		}
	}},
}

func TestCulprits(t *testing.T) {
	t.Parallel()
	hold(t, culprits)
}

func testsSetTheirSignals(b *bench) {
	pluginPath("walk")
	tests := exec.Command("/bin/sh", "-c", `trap "" HUP INT QUIT; exec "$0" "$@"`,
		os.Args[0], "-test.count=1", "-test.run", "^TestStoppedRunGoesOnFromItsLastStep$/^(hangup|interrupt)$")
	tests.Env = append(os.Environ(), "MTT_BINARIES="+binaries)
	if said, err := tests.CombinedOutput(); err != nil {
		b.Errorf("%v\n%s", err, said)
	}
}

// startFull starts a command whose stdout has no room.
func (b *bench) startFull(args ...string) *process {
	b.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer full.Close()
	command := exec.Command(hostPath, args...)
	command.Stdout = full
	return b.startCommand(command)
}
