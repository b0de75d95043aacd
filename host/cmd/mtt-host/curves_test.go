package main_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/tensorboard/tbtest"
)

// scalars are the arguments of a run that logs 20 tags in each step, and kills itself so often, each time so many steps
// after it has begun: two behind its last checkpoint.
func scalars(name string, steps, every, kills int, more ...string) []string {
	return append([]string{
		"run", pluginPath("scalars"), "--name", name, "-S", "steps=" + strconv.Itoa(steps), "--checkpoint-every", strconv.Itoa(every),
		"--env-var", "KILLS=" + strconv.Itoa(kills), "--env-var", "KILL_AFTER=" + strconv.Itoa(every+2),
	}, more...)
}

func soaking() bool { return os.Getenv("MTT_SOAK") != "" }

// killedOften compares a run that is killed with one that is left alone: a million points and 20 kills in `make soak`.
func killedOften(b *bench) {
	steps, kills := 400, 4
	if soaking() {
		steps, kills = 50_000, 20
	}
	every := steps / (kills + 1)
	b.expect(0, nil, scalars("alone", steps, every, 0)...)
	alone := b.outcome("alone")
	var servers []*tbtest.Server
	start := func() {
		for _, loader := range tbtest.Loaders {
			servers = append(servers, tbtest.Start(b, b.path("runs"), loader))
		}
	}
	start()
	b.killed("killed", kills, scalars("killed", steps, every, kills))
	b.equal(b.outcome("killed"), alone)
	if got, most := b.sizeOfEvents("killed"), b.sizeOfEvents("alone")*6/5; got > most {
		b.Errorf("after %d kills, the event files have %d bytes, want at most %d", kills, got, most)
	}
	start()
	for _, server := range servers {
		server.Wait("killed", alone.curves)
	}
}

// killed runs a command until it has killed itself so often, and once more.
func (b *bench) killed(run string, kills int, args []string) {
	b.Helper()
	for range kills {
		b.expect(75, nil, args...)
	}
	b.expect(0, nil, args...)
	if n := len(b.show(run).Attempts); n != kills+1 {
		b.Errorf("run %s has %d attempts after %d kills", run, n, kills)
	}
}

// killedOnAxes is of tags whose steps are no training steps: they fall, stay, or are an epoch's.
func killedOnAxes(b *bench) {
	b.expect(0, nil, scalars("alone", 300, 60, 0, "-S", "axes=true")...)
	b.killed("killed", 4, scalars("killed", 300, 60, 4, "-S", "axes=true"))
	b.equal(b.outcome("killed"), b.outcome("alone"))
}

// savedInMidTraining is of an experiment that logs more while a checkpoint becomes durable. With a later step in the
// manifest, a resume would read and repeat the whole history of the tag.
func savedInMidTraining(b *bench) {
	const steps, every = 2000, 250
	b.expect(0, nil, scalars("r", steps, every, 0, "--keep", strconv.Itoa(steps))...)
	manifests, _ := filepath.Glob(b.path("checkpoints", "r", "*", "MANIFEST.json"))
	if len(manifests) < steps/every {
		b.Fatalf("there are %d checkpoints, want %d", len(manifests), steps/every)
	}
	for _, path := range manifests {
		content, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		m := decode[struct {
			Step    int64
			Metrics map[string]float64
			Events  struct {
				LastSteps map[string]int64 `json:"last_steps"`
			}
		}](b, string(content))
		for i := range 20 {
			tag := fmt.Sprintf("train/scalar-%03d", i)
			want := float64(float32(math.Sin(float64(m.Step) * float64(i+1))))
			if m.Metrics[tag] != want || m.Events.LastSteps[tag] != m.Step {
				b.Errorf("the checkpoint at step %d has %s = %g up to step %d, want %g", m.Step, tag, m.Metrics[tag], m.Events.LastSteps[tag], want)
			}
		}
	}
}

func (b *bench) sizeOfEvents(run string) (bytes int64) {
	b.Helper()
	files, _ := filepath.Glob(b.path("runs", run, "events.*"))
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}

// resumedOften holds the bytes that a late resume reads and writes against those of an early one. Both read the
// executable, and the late one may read each kept point once.
func resumedOften(b *bench) {
	resumes := 12
	if soaking() {
		resumes = 300
	}
	args := scalars("r", 100*(resumes+1), 100, resumes+1)
	var early uint64
	for n := range resumes {
		read := b.readBy(75, args...)
		switch {
		case n == 2: // the first ones look at the executable more often
			early = read
		case n == resumes-1 && read > early+uint64(n)*(2000*60+8<<10): // a point takes less than 60 bytes, an attempt's records less than 8 KiB
			b.Errorf("resume %d reads %d bytes, and resume 2 read %d", n, read, early)
		}
	}
	files, _ := filepath.Glob(b.path("runs", "r", "events.*"))
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > b.sizeOfEvents("r")*3/2/int64(len(files)) {
			b.Errorf("%s is half as large again as the files of %d attempts are on average: %v", file, len(files), err)
		}
	}
}

// readBy returns how many bytes a command and its children read, as the kernel counts them for the shell that waits for them.
func (b *bench) readBy(code int, args ...string) uint64 {
	b.Helper()
	counted := filepath.Join(filepath.Dir(b.tmp), "io")
	shell := append([]string{"-c", `"$@"; code=$?; cat /proc/$$/io > "$0"; exit $code`, counted, hostPath}, args...)
	b.check(b.startCommand(exec.Command("/bin/sh", shell...)).wait(), code)
	content, err := os.ReadFile(counted)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if digits, found := strings.CutPrefix(line, "rchar: "); found {
			read, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return read
		}
	}
	b.Skip("SKIPPED: this kernel does not count what a process reads")
	return 0
}

// opensManyFiles has tb start a TensorBoard that only says how many files it may open.
func opensManyFiles(b *bench) {
	board := filepath.Join(filepath.Dir(b.tmp), "board")
	b.writeAs(board, "#!/bin/sh\nulimit -Sn\nulimit -Hn\n", 0o755)
	b.env = []string{"MTT_TENSORBOARD=" + board}
	b.expect(0, nil, "run", pluginPath("walk"), "--name", "r", "-S", "steps=10")
	low := exec.Command("/bin/sh", "-c", `ulimit -Sn 100 && exec "$0" tb`, hostPath)
	r := b.startCommand(low).wait()
	if soft, hard, _ := strings.Cut(strings.TrimSpace(r.stdout), "\n"); r.code != 0 || soft != hard {
		b.Errorf("it may open %s files, where the system allows %s: %v", soft, hard, r)
	}
}

// keptMany saves so often that manifests which each save read again would be most of what is read.
func keptMany(b *bench) {
	const saves = 120
	args := func(name string, every int) []string {
		return []string{"run", pluginPath("scalars"), "--name", name, "-S", "steps=" + strconv.Itoa(2*saves), "-S", "tags=1",
			"--checkpoint-every", strconv.Itoa(every), "--keep", "1000", "--env-var", "KILLS=1", "--env-var", "KILL_AFTER=" + strconv.Itoa(2*saves-1)}
	}
	for _, name := range []string{"first", "second"} { // which look at the executable more often
		b.readBy(75, args(name, saves)...)
	}
	few, many := b.readBy(75, args("few", saves)...), b.readBy(75, args("many", 2)...)
	if n := len(b.checkpoints("many")); n < saves/2 {
		b.Fatalf("%d checkpoints are kept", n)
	}
	if each := (int64(many) - int64(few)) / saves; each > 20<<10 {
		b.Errorf("each of %d saves reads %d bytes", saves, each)
	}
	few, many = b.readBy(0, args("few", saves)...), b.readBy(0, args("many", 2)...)
	if more := int64(many) - int64(few); more > 64<<10 {
		b.Errorf("a resume reads %d bytes more with %d checkpoints than with one", more, saves)
	}
}
