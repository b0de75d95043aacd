package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mostLog is what the log of one attempt takes at most; see eventlog's sizes.
const mostLog = 27 << 20

var growth = []promise{
	{"many kills cost a fifth of the event files at most, and every TensorBoard shows the exact curve", killedOften},
	{"curves under steps that fall, stay or skip survive kills too", killedOnAxes},
	{"a checkpoint has the metrics of its own step, however fast training goes on", savedInMidTraining},
	{"a save and a resume read no more with many checkpoints than with few", keptMany},
	{"TensorBoard may open as many files as the system allows, whatever the shell does", opensManyFiles},
	{"a late resume reads and writes no more than an early one, but for each kept point once", resumedOften},
	{"an error of 100 MB costs the host neither memory nor disk", func(b *bench) {
		p := b.start("run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=error-huge")
		memory := p.peakMemory()
		b.check(p.wait(), 3, "the experiment failed: it failed mmm", "bytes more)")
		if memory > 100_000 {
			b.Errorf("the host took %d KiB", memory)
		}
		b.smallRecords("bad", 1<<20)
	}},
	{"of 40,000 lines the first and the last are kept, and the others counted", func(b *bench) {
		b.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=many-lines")
		if size := b.sizeOfLog("r"); size == 0 || size > mostLog {
			b.Errorf("the log has %d bytes, want at most %d", size, mostLog)
		}
		logged := b.expect(0, nil, "logs", "r").stdout
		if first, _, _ := strings.Cut(logged, "\n"); !strings.Contains(first, "attempt 1 of run r") {
			b.Errorf("the log begins with %q", first)
		}
		for _, line := range []string{"plugin: line 1 xxx", "plugin: line 40000 xxx", "lines of the plugin are gone", "attempt finished"} {
			if !strings.Contains(logged, line) {
				b.Errorf("the log does not have %q", line)
			}
		}
		b.everyEventOnce(b.expect(0, nil, "logs", "r", "-o", "json").stdout, "plugin", "lines", 40_000)
	}},
}

func TestGrowthHasABound(t *testing.T) { hold(t, growth) }

// everyEventOnce wants events that are numbered without a gap, those included that are gone; and so many of a kind, with
// those that are gone of it.
func (b *bench) everyEventOnce(printed, kind, gone string, want float64) {
	b.Helper()
	var last, n float64
	for line := range strings.Lines(printed) {
		event := decode[struct {
			Seq  float64
			Kind string
			Gone map[string]float64
		}](b, line)
		first := event.Seq
		switch {
		case event.Gone != nil:
			first, n = event.Gone["first"], n+event.Gone[gone]
		case event.Kind == kind:
			n++
		}
		if first != last+1 {
			b.Fatalf("event %.0f follows on %.0f", first, last)
		}
		last = event.Seq
	}
	if n != want {
		b.Errorf("%.0f events of kind %s are kept or counted, want %.0f", n, kind, want)
	}
}

// sizeOfLog is the size of all logs of a run.
func (b *bench) sizeOfLog(run string) (size int64) {
	b.Helper()
	logs, err := filepath.Glob(b.path("runs", run, "log", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, log := range logs {
		info, err := os.Stat(log)
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// peakMemory waits until the host has ended, and returns the most that it has had in memory, in KiB.
func (p *process) peakMemory() (peak int) {
	for p.running() {
		peak = max(peak, peakMemory(p.cmd.Process.Pid))
		time.Sleep(10 * time.Millisecond)
	}
	return peak
}

// The volume has the segments, and a mirror of them is read while they come, are folded and go.
func TestLogOfAFloodOnModalIsReadWithoutAGap(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=many-lines", "-d")
	m.until("it has ended", func() bool {
		m.everyEventOnce(m.expect(0, nil, "logs", "r", "-o", "json").stdout, "", "", 0)
		return m.modalInfo("r").State == "SUCCEEDED"
	})
	m.everyEventOnce(m.expect(0, nil, "logs", "r", "-o", "json").stdout, "plugin", "lines", 40_000)
}
