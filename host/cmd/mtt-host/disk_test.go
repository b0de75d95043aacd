package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Each of these has about 1.6 MB of state, and saves it every 10 of 60 steps.
var largeState = []string{"-S", "steps=60", "-S", "walkers=200000", "-S", "pause_us=2000", "--checkpoint-every", "10", "--keep", "100"}

func (b *bench) largeAlone() outcome {
	b.Helper()
	b.expect(0, nil, append([]string{"run", pluginPath("walk"), "--name", "alone"}, largeState...)...)
	return b.outcome("alone")
}

func TestSaveBeyondTheFileSizeLimitFailsAndLosesNothing(t *testing.T) {
	b := newBench(t)
	alone := b.largeAlone()
	args := append([]string{"run", pluginPath("walk"), "--name", "r"}, largeState...)
	p := b.start(args...)
	b.eventually("there is a checkpoint", func() bool { return len(manifests(b, "r")) > 0 })
	p.kill()
	saved := b.verify("r")

	const blocks = 1024 // of 512 bytes each: a third of a blob
	limited := exec.Command("sh", append([]string{"-c", "ulimit -f " + strconv.Itoa(blocks) + "; exec \"$@\"", "sh", hostPath}, args...)...)
	r := b.startCommand(limited).wait()
	b.check(r, 2, "outputs could not be written", "walkers.f64", "file too large", "mtt-host resume")
	if got := b.verify("r"); got != saved {
		t.Errorf("there are %d checkpoints, and were %d", got, saved)
	}
	if state := b.show("r").State; state != "INTERRUPTED" {
		t.Errorf("the run is %s", state)
	}
	b.expect(0, []string{"resumed from"}, args...)
	b.equal(b.outcome("r"), alone)
}

func TestFullDiskFailsTheSaveAndLosesNothing(t *testing.T) {
	b := newBench(t)
	alone := b.largeAlone()
	disk := filepath.Join(filepath.Dir(b.tmp), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(pluginPath("walk"))
	if err != nil {
		t.Fatal(err)
	}
	size := info.Size() + 5<<20 // for the plugin and some checkpoints
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+strconv.FormatInt(size, 10), "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, since only root can mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	b.outputs = disk
	args := append([]string{"run", pluginPath("walk"), "--name", "r"}, largeState...)
	b.expect(2, []string{"no space left on device", "mtt-host resume"}, args...)
	if saved := b.verify("r"); saved < 1 || saved > 5 {
		t.Errorf("%d checkpoints are there, and the disk has room for some", saved)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=100m", disk).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	b.expect(0, []string{"resumed from"}, args...)
	b.equal(b.outcome("r"), alone)
}
