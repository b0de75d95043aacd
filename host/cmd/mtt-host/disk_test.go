package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
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
	t.Parallel()
	b := newBench(t)
	alone := b.largeAlone()
	disk := b.smallDisk("walk", 5<<20)
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

// A full disk of which checkpoints have taken the room is no dead end: a smaller --keep makes some before anything is written.
func TestSmallerKeepMakesRoomOnAFullDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	disk := b.smallDisk("walk", 6<<20) // for three checkpoints of 1.6 MB
	b.outputs = disk
	b.env = append(b.env, "MTT_OUTPUTS="+disk)
	args := append([]string{"run", pluginPath("walk"), "--name", "r"}, largeState...)
	b.expect(2, []string{"no space left on device"}, args...)
	saved := b.verify("r")
	b.fill(disk)
	b.expect(2, []string{"no space left on device"}, "resume", "r")
	b.fill(disk)
	b.expect(0, []string{"resumed from"}, "resume", "r", "--keep", "1")
	if saved < 2 {
		t.Errorf("there was only %d checkpoint to keep one of", saved)
	}
	if got := b.verify("r"); got != 1 {
		t.Errorf("%d checkpoints were kept", got)
	}
}

// smallDisk mounts one with room for a plugin and so many bytes more.
func (b *bench) smallDisk(plugin string, room int64) string {
	b.Helper()
	disk := b.dir("disk")
	info, err := os.Stat(pluginPath(plugin))
	if err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+strconv.FormatInt(info.Size()+room, 10), "tmpfs", disk).CombinedOutput(); err != nil {
		b.Skipf("SKIPPED, since only root can mount a small disk: %v: %s", err, out)
	}
	b.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", disk).CombinedOutput(); err != nil {
			b.Errorf("umount: %v: %s", err, out)
		}
	})
	return disk
}

// fill writes a file until a disk has no room left.
func (b *bench) fill(disk string) {
	b.Helper()
	file, err := os.OpenFile(filepath.Join(disk, "filling"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		b.Fatal(err)
	}
}
